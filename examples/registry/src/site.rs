//! The pages and what they load. One frame serves every page; its script shows the one that the path names.
//!
//! Owns paths and types of files. Must never read data.

use crate::hub::PAGES_TOKEN;
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;

const PATHS: [&str; 7] = ["/", "/files", "/users", "/groups", "/categories", "/registrators", "/admin"];
const FRAME: &str = include_str!("../pages/app.html");
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// What pages load: path, type, text.
const FILES: [(&str, &str, &str); 14] = [
    ("/static/app.css", CSS, include_str!("../pages/app.css")),
    ("/static/mark.svg", PICTURE, include_str!("../pages/mark.svg")),
    ("/static/admin.js", SCRIPT, include_str!("../pages/admin.js")),
    ("/static/editor.js", SCRIPT, include_str!("../pages/editor.js")),
    ("/static/home.js", SCRIPT, include_str!("../pages/home.js")),
    ("/static/html.js", SCRIPT, include_str!("../pages/html.js")),
    ("/static/hub.js", SCRIPT, include_str!("../pages/hub.js")),
    ("/static/list.js", SCRIPT, include_str!("../pages/list.js")),
    ("/static/main.js", SCRIPT, include_str!("../pages/main.js")),
    ("/static/people.js", SCRIPT, include_str!("../pages/people.js")),
    ("/static/registers.js", SCRIPT, include_str!("../pages/registers.js")),
    ("/static/sample.js", SCRIPT, include_str!("../pages/sample.js")),
    ("/static/toast.js", SCRIPT, include_str!("../pages/toast.js")),
    ("/favicon.ico", PICTURE, include_str!("../pages/mark.svg")),
];

/// The routes of the pages; `client` is the script of the page client.
pub fn routes(client: String) -> Router {
    let frame = FRAME.replace("{{token}}", PAGES_TOKEN);
    let mut router = Router::new().route("/static/sync.bundle.js", get(async move || file(SCRIPT, client)));
    for path in PATHS {
        let frame = frame.clone();
        router = router.route(path, get(async move || ([(CACHE_CONTROL, "no-cache")], Html(frame))));
    }
    for (path, kind, text) in FILES {
        router = router.route(path, get(async move || file(kind, text)));
    }
    router
}

fn file(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text)
}
