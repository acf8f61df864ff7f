//! `syncline node list`: the registered nodes of a space, and everybody who has read or pushed.

use crate::config::Config;
use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::hub::{Admin, SpaceStatus, ago, now};
use crate::output::{Output, Style, Table};
use syncline_core::model::{Lsn, Millis, SpaceName};
use syncline_server::hub;
use syncline_server::nodes::{RegisteredNode, joined};

/// Lists nodes.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space.
pub async fn run(args: &SpaceArgs, output: Output) -> Result<(), CliError> {
    let look = async |admin: &Admin, space: &SpaceName| Ok((admin.registered(space).await?, admin.space(space).await?));
    let (registered, mut status) = args.with(look).await?;
    let is_registered = |view: &hub::NodeView| registered.iter().any(|node| node.id.as_str() == view.node.node);
    // What is left of a removed node that only exchanged packets is its number as an author.
    let reads = |view: &hub::NodeView| view.node.seen_at > Millis(0) || view.node.node.starts_with('(');
    status.nodes.retain(|view| is_registered(view) || reads(view));
    output.result(&joined(&registered, &status.nodes), || {
        status.nodes.retain(|view| !is_registered(view));
        match (registered.is_empty(), status.nodes.is_empty()) {
            (true, _) => readers(&status, output),
            (false, true) => table(&registered, output),
            (false, false) => format!("{}\n\n{}", table(&registered, output), readers(&status, output)),
        }
    })
}

fn table(registered: &[RegisteredNode], output: Output) -> String {
    let mut table = Table::new(["CODE", "NAME", "ID", "RECEIVED", "SENT", "LAST IN", "LAST OUT"]);
    for node in registered {
        table.row([
            node.code.clone(),
            node.name.clone(),
            node.id.to_string(),
            node.received_packet_no.to_string(),
            node.sent_packet_no.to_string(),
            heard(node),
            when(node.last_sync_out.as_deref()),
        ]);
    }
    let mut text = table.render(output);
    if registered.iter().any(|node| node.silent_since.is_some()) {
        let remark = "\nFor silent nodes the hub keeps what was removed since; `syncline node remove CODE` ends that for one \
                      that is not coming back.";
        text += &output.paint(Style::Attention, remark);
    }
    text
}

fn heard(node: &RegisteredNode) -> String {
    let silent = if node.silent_since.is_some() { ", silent" } else { "" };
    when(node.last_sync_in.as_deref()) + silent
}

/// How long ago an ISO time was.
pub fn when(time: Option<&str>) -> String {
    ago(time.and_then(Millis::parse).unwrap_or_default())
}

/// The table of those who have read or pushed.
pub fn readers(status: &SpaceStatus, output: Output) -> String {
    if status.nodes.is_empty() {
        return "No node has used this space yet.".into();
    }
    let mut table = Table::new(["NODE", "HAS READ", "BEHIND", "OPS", "LAST SEEN"]);
    let nodes = one_for_each(&status.nodes);
    for hub::NodeView { node, behind, .. } in &nodes {
        // Of a node that exchanges packets alone nothing of this is known.
        let known = |number: String| if node.seen_at > Millis(0) { number } else { "-".to_owned() };
        let [cursor, ops] = [node.cursor.to_string(), node.last_seq.to_string()].map(known);
        table.row([node.node.clone(), cursor, behind.to_string(), ops, ago(node.seen_at)]);
    }
    let mut text = table.render(output);
    for view in &nodes {
        if let Some(stall) = view.stall {
            let remark = format!("\n`{}` stalls: it {}", view.node.node, stall.says(view.behind));
            text += &output.paint(Style::Attention, &remark);
        }
    }
    text
}

/// A silent reader for which more of the log is kept than `retention.log` asks for.
pub struct Holder<'s> {
    /// Its id.
    pub node: &'s str,
    /// From where on the log is kept for it.
    pub from: Lsn,
    /// How long ago it was seen.
    pub seen: String,
}

/// Who holds the horizon of a space back.
pub fn holders<'s>(space: &'s SpaceStatus, config: &Config) -> Vec<Holder<'s>> {
    let (log, nodes) = (config.number("retention.log"), config.number("retention.nodes"));
    let holds = |view: &&hub::NodeView| {
        let silent_ms = now().0.saturating_sub(view.node.seen_at.0);
        view.node.cursor > Lsn::ZERO && view.behind > 0 && silent_ms > log && silent_ms < nodes
    };
    let holder = |view: &'s hub::NodeView| Holder {
        node: &view.node.node,
        from: view.node.cursor,
        seen: ago(view.node.seen_at),
    };
    space.nodes.iter().filter(holds).map(holder).collect()
}

/// A client of event sync has a row as an author and one for each list of collections that it came with, under its name
/// without the closing bracket. For people they are one: where it was last.
fn one_for_each(nodes: &[hub::NodeView]) -> Vec<hub::NodeView> {
    let mut all: Vec<hub::NodeView> = Vec::with_capacity(nodes.len());
    for view in nodes {
        let mut view = view.clone();
        if let Some((client, _)) = view
            .node
            .node
            .rsplit_once('@')
            .filter(|(client, rest)| client.starts_with("(live:") && !rest.ends_with(')'))
        {
            view.node.node = format!("{client})");
        }
        match all.iter_mut().find(|other| other.node.node == view.node.node) {
            None => all.push(view),
            Some(other) => {
                let ops = other.node.last_seq.max(view.node.last_seq);
                if view.node.seen_at > other.node.seen_at {
                    *other = view;
                }
                other.node.last_seq = ops;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_server::store::NodeRow;

    #[test]
    fn a_live_client_is_one_line_where_it_was_last() {
        let view = |name: &str, seen_at: u64, cursor: u64| hub::NodeView {
            node: NodeRow { node: name.into(), seen_at: Millis(seen_at), cursor: Lsn(cursor), ..NodeRow::default() },
            behind: 9 - cursor,
            stall: None,
        };
        let rows = [
            view("(live:a)", 0, 0),
            view("(live:a@12345678", 5, 3),
            view("(live:a@87654321+", 7, 9),
            view("(live:me@home)", 0, 0),
            view("phone", 8, 2),
        ];
        let shown: Vec<(String, u64, u64)> =
            one_for_each(&rows).into_iter().map(|view| (view.node.node, view.node.cursor.0, view.behind)).collect();
        let expected = [("(live:a)", 9, 0), ("(live:me@home)", 0, 9), ("phone", 2, 7)];
        assert_eq!(shown, expected.map(|(name, cursor, behind)| (name.to_owned(), cursor, behind)));
    }
}
