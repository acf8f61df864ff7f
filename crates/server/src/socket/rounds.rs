//! Goes round among those who are in: a token that was removed or has expired since ends the connections that it
//! opened, and one that allows something else now has its clients come in again; without this they would stay in their rooms
//! for as long as they like. And whoever is gone without having
//! said so has left.

use super::farewell::Farewell;
use super::guests::Guests;
use super::house::House;
use super::line::Line;
use super::listener::Listener;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Between two rounds: for so long a removed token may still be told what happens.
const ROUND_EVERY: Duration = Duration::from_secs(2);

const RIGHTS_CHANGED: Farewell = Farewell::refused("what the token allows has changed; connect again");

/// Until the hub closes.
pub(super) async fn go(
    house: Weak<House>,
    guests: Weak<Guests>,
    listeners: Arc<[Arc<dyn Listener>]>,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = tokio::time::sleep(ROUND_EVERY) => {}
        }
        let (Some(house), Some(guests)) = (house.upgrade(), guests.upgrade()) else { return };
        for line in guests.gone() {
            listeners.iter().for_each(|listener| listener.leave(&line));
        }
        for line in guests.all() {
            if check(&line, &house) {
                guests.hang_up(&line, RIGHTS_CHANGED).await;
            }
        }
    }
}

/// Whether the connection is to be ended below Socket.IO.
fn check(line: &Line, house: &House) -> bool {
    let Some(grant) = &line.caller.grant else { return false };
    let Err(error) = house.tokens.check_again(grant) else { return false };
    house.meters.refused(error.code());
    line.dismiss(&error);
    error.is_passing()
}
