//! Goes round among those who are in: a token that was removed or has expired since ends the connections that it
//! opened, and one that allows something else now has its clients come in again; without this they would stay in their rooms
//! for as long as they like.

use super::farewell::Farewell;
use super::hall::Hall;
use super::line::Line;
use std::sync::Weak;
use std::time::Duration;
use tokio::sync::watch;

/// Between two rounds: for so long a removed token may still be told what happens.
const ROUND_EVERY: Duration = Duration::from_secs(2);

const RIGHTS_CHANGED: Farewell = Farewell::refused("what the token allows has changed; connect again");

/// Until the hub closes.
pub(super) async fn go(hall: Weak<Hall>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = tokio::time::sleep(ROUND_EVERY) => {}
        }
        let Some(hall) = hall.upgrade() else { return };
        hall.sessions.guests().iter().for_each(|line| check(line, &hall));
    }
}

fn check(line: &Line, hall: &Hall) {
    let Some(grant) = &line.caller.grant else { return };
    let Err(error) = hall.house.tokens.check_again(grant) else { return };
    hall.rules.meters.refused(error.code());
    line.dismiss(&error);
    if error.is_passing() {
        line.hang_up(RIGHTS_CHANGED);
    }
}
