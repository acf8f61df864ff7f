//! `examples/construction`: a desktop and a web application in Python, neither of which knows that it is attached.

use crate::attach::{node, token};
use crate::environment::environment;
use crate::postgres::server::Postgres;
use crate::shell::{Hub, Shell};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/construction")
}

/// Both applications, and the hub.
struct World {
    shell: Shell,
    hub: Hub,
    python: PathBuf,
    /// The office's database, for `syncline attach`.
    office: String,
    web: Child,
    address: String,
}

impl World {
    fn new() -> World {
        let (shell, python) = (Shell::new(), environment("construction-python", &example().join("requirements.txt")));
        let hub = Hub::start(&shell, &[]);
        let office = Postgres::shared().url(&Postgres::shared().database());
        let mut web = shell.command(python.to_str().unwrap());
        let url = office.replace("postgres://", "postgresql+psycopg://");
        web.arg("-B").arg(example().join("web.py")).arg(url).stdout(Stdio::piped());
        let mut web = web.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(web.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        for n in [1, 2] {
            let (id, code, token) = (node(n), format!("APP-{n}"), token(n));
            let admin = ["--hub", &hub.url, "--admin-token", hub.admin()];
            shell.ok(&[&["node", "add", "--id", &id, "--code", &code, "--token", &token], &admin[..]].concat());
        }
        World { shell, hub, python, office, web, address: address.trim().to_owned() }
    }

    /// What a person does at the desktop, and what it prints.
    #[track_caller]
    fn desktop(&self, args: &[&str]) -> Value {
        let mut command = self.shell.command(self.python.to_str().unwrap());
        let ran = command.arg("-B").arg(example().join("desktop.py")).arg("site.db").args(args).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap_or_default()
    }

    /// A request of a page of the office.
    #[track_caller]
    fn office(&self, method: &str, path: &str, body: &Value) -> Value {
        let (url, body) = (format!("{}{path}", self.address), body.to_string());
        let mut curl = self.shell.command("curl");
        curl.args(["--silent", "--show-error", "--fail", "--request", method, "--data", &body, &url]);
        let ran = curl.output().unwrap();
        assert!(ran.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// One round of each database, the office's first and last.
    #[track_caller]
    fn sync(&self) {
        for n in [1, 2, 1] {
            let (place, mapping) = if n == 1 { (&*self.office, "web.toml") } else { ("site.db", "desktop.toml") };
            let (id, token, mapping) = (node(n), token(n), example().join(mapping));
            let what = ["attach", "once", place, "--mapping", mapping.to_str().unwrap()];
            let round =
                self.shell.json(&[&what[..], &["--node", &id, "--token", &token, "--hub", &self.hub.url]].concat());
            assert_eq!((&round["aside"], &round["conflicts"]), (&json!(0), &json!(0)), "{round}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.web.kill();
        let _ = self.web.wait();
    }
}

#[test]
fn applications_in_python_are_in_step_without_a_line_about_it() {
    for file in ["models.py", "desktop.py", "web.py"] {
        let text = fs::read_to_string(example().join(file)).unwrap().to_lowercase();
        assert!(!text.contains("sync"), "{file} knows something");
    }
    let world = World::new();
    for (code, name) in [("W-1", "digging"), ("W-2", "filling")] {
        world.office("POST", "/specifications", &json!({"code": code, "name": name, "norm": "1.25"}));
    }
    world.office("POST", "/estimates", &json!({"number": "E-1", "total": "1234567.89"}));
    assert_eq!(world.desktop(&["show"]), json!({"reports": [], "estimates": {}}));
    world.sync();
    world.desktop(&["report", "2025-12-12", "--estimate", "E-1", "--line", "W-1=2.5", "--line", "W-2=4"]);
    world.desktop(&["report", "2025-12-13", "--line", "W-1=1"]);
    world.sync();
    let reports = world.office("GET", "/reports", &Value::Null);
    let lines = json!([{"code": "W-1", "qty": "2.500"}, {"code": "W-2", "qty": "4.000"}]);
    assert_eq!((&reports[0]["estimate"], &reports[0]["lines"]), (&json!("E-1"), &lines));
    assert_eq!(world.desktop(&["show"])["reports"], reports);

    // Both edit the same report while neither hears of the other.
    world.office("PUT", "/estimates/E-1", &json!({"signed": true}));
    world.office("PUT", "/reports/2025-12-13", &json!({"remark": "why so little?"}));
    world.desktop(&["withdraw", "2025-12-12"]);
    world.sync();
    world.desktop(&["remark", "2025-12-13", "rain"]);
    world.sync();
    let reports = world.office("GET", "/reports", &Value::Null);
    assert_eq!((reports.as_array().unwrap().len(), &reports[0]["remark"]), (1, &json!("rain")));
    assert_eq!(world.desktop(&["show"]), json!({"reports": reports, "estimates": {"E-1": true}}));
}
