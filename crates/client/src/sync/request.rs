//! Requests of own clients as paths, in the form of `spec/lsn.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use syncline_core::model::{CollectionName, Cursor, Lsn, Millis, NodeId};
use syncline_core::wire::ranges::Range;

/// All documents of some collections; `after`: to go on where an earlier answer was cut.
#[must_use]
pub fn snapshot(node: &NodeId, scope: &BTreeSet<CollectionName>, after: Option<Lsn>) -> String {
    let mut path = format!("/sync/snapshot?node={}&collections={}", encoded(node.as_str()), names(scope));
    if let Some(lsn) = after {
        path.push_str(&format!("&after={lsn}"));
    }
    path
}

/// The documents in some ranges alone.
#[must_use]
pub fn snapshot_of(node: &NodeId, scope: &BTreeSet<CollectionName>, ranges: &[Range]) -> String {
    format!("{}&ranges={}", snapshot(node, scope, None), listed(ranges))
}

/// What stands in the parts of some ranges, but for documents that changed after `at` or expire until `until`.
#[must_use]
pub fn digests(
    node: &NodeId,
    scope: &BTreeSet<CollectionName>,
    at: &Cursor,
    until: Millis,
    ranges: &[Range],
) -> String {
    let (node, epoch) = (encoded(node.as_str()), encoded(at.epoch.as_str()));
    let (lsn, until, ranges) = (at.lsn, until.0, listed(ranges));
    format!(
        "/sync/digests?node={node}&epoch={epoch}&collections={}&at={lsn}&until={until}&ranges={ranges}",
        names(scope)
    )
}

/// The same as packets bring it to a registered node, which has stored this packet of the hub last.
#[must_use]
pub fn by_packet(path: String, number: u64) -> String {
    path + &format!("&packet={number}")
}

/// The changes since a position: at most `limit`, and an answer within `wait_s` seconds where there are none yet.
#[must_use]
pub fn pull(node: &NodeId, scope: &BTreeSet<CollectionName>, since: &Cursor, limit: u32, wait_s: u64) -> String {
    let (node, epoch) = (encoded(node.as_str()), encoded(since.epoch.as_str()));
    let lsn = since.lsn;
    let mut path =
        format!("/sync/pull?node={node}&since_lsn={lsn}&epoch={epoch}&collections={}&limit={limit}", names(scope));
    if wait_s > 0 {
        path.push_str(&format!("&wait={wait_s}"));
    }
    path
}

/// A pull that also brings what was lost after it was accepted, behind this number of the hub's ledger.
#[must_use]
pub(super) fn with_conflicts(pull: String, told: u64) -> String {
    pull + &format!("&conflicts_after={told}")
}

pub(super) const PUSH: &str = "/sync/push";
pub(super) const EXCHANGE: &str = "/api/sync/exchange";
pub(super) const HEALTH: &str = "/sync/health";

fn listed(ranges: &[Range]) -> String {
    ranges.iter().map(Range::to_string).collect::<Vec<_>>().join(",")
}

fn names(scope: &BTreeSet<CollectionName>) -> String {
    let names: Vec<String> = scope.iter().map(|name| encoded(name.as_str())).collect();
    names.join(",")
}

/// Percent-encoded, but for the characters that mean nothing in any part of a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::Epoch;

    #[test]
    fn paths_carry_everything_the_hub_needs() {
        let node = NodeId::new("n/1").unwrap();
        let scope = ["users", "größe"].map(|name| CollectionName::new(name).unwrap()).into();
        let since = Cursor { epoch: Epoch::new("e&1").unwrap(), lsn: Lsn(7) };
        assert_eq!(
            pull(&node, &scope, &since, 100, 10),
            "/sync/pull?node=n%2F1&since_lsn=7&epoch=e%261&collections=gr%C3%B6%C3%9Fe,users&limit=100&wait=10"
        );
        assert_eq!(
            snapshot(&node, &scope, Some(Lsn(3))),
            "/sync/snapshot?node=n%2F1&collections=gr%C3%B6%C3%9Fe,users&after=3"
        );
        let ranges = ["3f", "40a1"].map(|text| text.parse().unwrap());
        assert_eq!(
            snapshot_of(&node, &scope, &ranges),
            "/sync/snapshot?node=n%2F1&collections=gr%C3%B6%C3%9Fe,users&ranges=3f,40a1"
        );
        assert_eq!(
            digests(&node, &scope, &since, Millis(5), &ranges),
            "/sync/digests?node=n%2F1&epoch=e%261&collections=gr%C3%B6%C3%9Fe,users&at=7&until=5&ranges=3f,40a1"
        );
    }
}
