//! The engine against a hub whose answers the tests decide. Nothing sleeps: tests wait for events,
//! requests and outcomes, and give up after a generous time.

mod fakes;

use super::options::SyncOptions;
use super::{ApiReply, SyncEvent};
use fakes::{Device, Hub, collections};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn refusal(status: u16, code: &str) -> ApiReply {
    let body = format!(r#"{{"error":"the hub says {code}","code":"{code}"}}"#);
    ApiReply { status, retry_after: None, body: body.into() }
}

#[test]
fn a_device_loads_pulls_pushes_and_then_waits_at_the_hub() {
    let (hub, device) = (Hub::new(), Device::new(2));
    hub.grow_to(9);
    let events = device.watch_events();
    device.enable(&hub, &["users"]).unwrap();

    hub.expect_request("/sync/snapshot?node=device&collections=users");
    hub.expect_request("/sync/pull?node=device&since_lsn=9&epoch=e1&collections=users&limit=1000");
    hub.expect_request("/sync/push");
    hub.expect_request("/sync/pull?node=device&since_lsn=9&epoch=e1&collections=users&limit=1000&wait=10");
    let names: Vec<_> = events.until("sync:success").iter().map(SyncEvent::name).collect();
    assert_eq!(
        names,
        ["sync:start", "sync:initial_start", "sync:initial_complete", "sync:push_success", "sync:success"]
    );
    let status = device.status();
    assert!(status.enabled && status.connected && !status.stalled, "{status:?}");
    assert_eq!((status.pending, status.cursor.lsn.0), (0, 9), "a push reply moves no cursor");
}

#[test]
fn a_local_write_is_pushed_while_a_pull_waits() {
    let (hub, device) = (Hub::new(), Device::new(0));
    device.enable(&hub, &["users"]).unwrap();
    hub.expect_waiting_pull();
    device.write();
    hub.expect_request("/sync/push");
}

#[test]
fn news_at_the_hub_arrive_without_a_timer() {
    let (hub, device) = (Hub::new(), Device::new(0));
    device.enable(&hub, &["users"]).unwrap();
    hub.expect_waiting_pull();
    let events = device.watch_events();
    hub.grow_to(3);
    let heard = events.until("sync:pull_success");
    assert_eq!(heard.last().unwrap().payload().to_string(), r#"{"pulled":1,"lsn":3}"#);
}

#[test]
fn a_trigger_resolves_with_what_was_synced_and_fails_without_a_panic() {
    let (hub, device) = (Hub::new(), Device::new(3));
    let off = device.trigger();
    assert!(!off.success && off.error.unwrap().contains("not enabled"));
    device.enable_manually(&hub, &["users"]).unwrap();
    let first = device.trigger();
    assert!(first.success, "{first:?}");
    assert_eq!(first.synced_events, 3);
    hub.answer_next("/sync/pull", Ok(refusal(500, "broken")));
    let second = device.trigger();
    assert!(!second.success && second.error.as_ref().unwrap().contains("the hub says broken"), "{second:?}");
    let status = device.status();
    assert!(!status.connected && status.error.is_some(), "{status:?}");
    assert!(device.trigger().success, "and the next one finds the hub well again");
    assert!(device.status().connected);
}

#[test]
fn a_lost_reply_repeats_the_same_batch() {
    let (hub, device) = (Hub::new(), Device::new(1));
    device.enable_manually(&hub, &["users"]).unwrap();
    hub.lose_reply("/sync/push");
    assert!(!device.trigger().success);
    assert!(device.trigger().success);
    let bodies = hub.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1], "the hub recognises the repeat by its batch id");
}

#[test]
fn a_cut_snapshot_goes_on_behind_its_last_document() {
    let (hub, device) = (Hub::new(), Device::new(0));
    let cut = concat!(
        r#"{"server_lsn":9,"epoch":"e1"}"#,
        "\n",
        r#"{"op":"put","lsn":4,"collection":"users","id":"d","stamp":4,"author":1,"doc":{"_id":"d"}}"#,
        "\n",
        r#"{"op":"put","lsn":5,"coll"#
    );
    hub.grow_to(12);
    hub.answer_next("/sync/snapshot", Ok(ApiReply::ok(cut)));
    device.enable_manually(&hub, &["users"]).unwrap();
    assert!(device.trigger().error.unwrap().contains("cut before its end"));
    assert!(device.trigger().success);
    let asked = hub.requests();
    assert!(asked.iter().any(|path| path.ends_with("collections=users&after=4")), "{asked:?}");
    assert!(asked.iter().any(|path| path.contains("since_lsn=9")), "pulled from the head of the first part: {asked:?}");
}

#[test]
fn a_refused_token_is_told_and_not_asked_again_by_itself() {
    let (hub, device) = (Hub::new(), Device::new(0));
    let events = device.watch_events();
    hub.answer_next("/sync/snapshot", Ok(refusal(401, "unauthorized")));
    device.enable(&hub, &["users"]).unwrap();
    let heard = events.until("sync:error");
    assert!(heard.last().unwrap().payload()["message"].as_str().unwrap().contains("token"));
    device.write();
    assert_eq!(device.status().state, "unauthorized");
    assert_eq!(hub.requests().len(), 1);
    device.enable(&hub, &["users"]).unwrap();
    events.until("sync:success");
}

#[test]
fn a_batch_over_the_hubs_limit_is_sent_in_smaller_ones() {
    let (hub, device) = (Hub::new(), Device::new(8));
    hub.limit_batches_to(2);
    device.enable_manually(&hub, &["users"]).unwrap();
    let outcome = device.trigger();
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.synced_events, 8);
}

#[test]
fn an_api_client_that_panics_is_an_error_event() {
    let (hub, device) = (Hub::new(), Device::new(0));
    hub.panic_next("/sync/snapshot");
    device.enable_manually(&hub, &["users"]).unwrap();
    assert!(device.trigger().error.unwrap().contains("panicked"));
    assert!(device.trigger().success);
}

#[test]
fn collections_join_and_leave_a_running_session() {
    let (hub, device) = (Hub::new(), Device::new(0));
    device.enable(&hub, &["users"]).unwrap();
    hub.expect_waiting_pull();
    device.enable(&hub, &["posts"]).unwrap();
    hub.expect_request("/sync/snapshot?node=device&collections=posts");
    hub.expect_request("&collections=posts,users&limit=1000&wait=10");
    assert!(device.link.disable(&collections(&["users"])));
    hub.expect_request("&collections=posts&limit=1000&wait=10");
    assert!(device.link.disable(&collections(&["posts"])));
    assert!(!device.link.disable(&collections(&["posts"])), "it had left already");
    assert!(!device.trigger().success);
    assert!(!device.status().enabled);
}

#[test]
fn a_second_hub_is_refused_while_collections_sync_with_the_first() {
    let (one, two, device) = (Hub::new(), Hub::new(), Device::new(0));
    device.enable(&one, &["users"]).unwrap();
    let refused = device.enable(&two, &["posts"]).unwrap_err();
    assert!(refused.to_string().contains("`users`"), "{refused}");
    device.link.disable(&collections(&["users"]));
    device.enable(&two, &["posts"]).unwrap();
    two.expect_request("/sync/snapshot");
}

#[test]
fn a_listener_may_use_sync_itself() {
    let (hub, device) = (Hub::new(), Device::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (link, count) = (Arc::downgrade(&device.link), calls.clone());
    device
        .link
        .listeners()
        .add("sync:success", None, move |_| {
            let link = link.upgrade().unwrap();
            assert!(!link.trigger_blocking(None).success, "it is told not to wait for itself");
            assert!(link.disable(&collections(&["users"])));
            count.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    let events = device.watch_events();
    device.enable(&hub, &["users"]).unwrap();
    events.until("sync:success");
    while calls.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert!(!device.trigger().success, "sync is off");
}

#[test]
fn sync_without_a_hub_or_token_does_not_start() {
    let device = Device::new(0);
    let error = device.enable_with(SyncOptions::default(), &["users"]).unwrap_err();
    assert!(error.to_string().contains("address and a token"), "{error}");
}
