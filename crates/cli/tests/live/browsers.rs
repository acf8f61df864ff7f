//! Pages in a real browser, before two workers and at another origin.

use crate::machine::{Machine, TOKEN};
use crate::nginx::{Nginx, free_ports};
use crate::play::{node, page_client, play};
use crate::redis::{PASSWORD, Redis};
use crate::worker::Worker;
use serde_json::json;

#[test]
fn windows_of_a_browser_do_not_notice_which_worker_they_are_on() {
    let machine = Machine::new();
    let redis = Redis::start(&machine);
    machine.configure(&redis.section(PASSWORD));
    let (one, mut two) = (Worker::of_unit(&machine, "one"), Worker::of_unit(&machine, "two"));
    let nginx = Nginx::start(&machine);
    let workers = json!({ "one": one.address, "two": two.address });
    let told = json!({ "bundle": page_client(), "token": TOKEN, "pages": nginx.pages, "workers": workers });
    play(node("browsers.mjs"), &told, 1, |wish| {
        assert_eq!(wish, "kill two");
        two.kill();
    });
    assert!(one.stop().success());
}

#[test]
fn pages_of_other_origins_come_in_where_their_origin_is_allowed() {
    let machine = Machine::new();
    let allowed = free_ports()[0];
    let hub = Worker::on_a_port(&machine, &[&format!("cors.origins=http://127.0.0.1:{allowed}")]);
    let told = json!({ "token": TOKEN, "hub": hub.address, "allowed": allowed });
    play(node("browsers.mjs"), &told, 1, |wish| panic!("{wish}"));
    assert!(hub.stop().success());
}
