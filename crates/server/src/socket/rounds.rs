//! Goes round among those who are in: a token that was removed or has expired since ends the connections that it
//! opened; without this they would stay in their rooms for as long as they like. And whoever is gone without having
//! said so has left.

use super::house::House;
use super::line::Line;
use super::listener::Listener;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Between two rounds: for so long a removed token may still be told what happens.
const ROUND_EVERY: Duration = Duration::from_secs(2);

/// Until the hub closes.
pub(super) async fn go(house: Weak<House>, listeners: Arc<[Arc<dyn Listener>]>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = tokio::time::sleep(ROUND_EVERY) => {}
        }
        let Some(house) = house.upgrade() else { return };
        for line in house.guests.gone() {
            listeners.iter().for_each(|listener| listener.leave(&line));
        }
        for line in house.guests.all() {
            check(&line, &house);
        }
    }
}

fn check(line: &Line, house: &House) {
    let Some(grant) = &line.caller.grant else { return };
    if let Err(error) = house.tokens.check_again(grant) {
        house.meters.refused(error.code());
        line.dismiss(&error.to_string());
    }
}
