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
    output.result(&joined(&registered, &status.nodes), || {
        status.nodes.retain(|reader| !registered.iter().any(|node| node.id.as_str() == reader.node.node));
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
    for hub::NodeView { node, behind, .. } in &status.nodes {
        // Of a node that exchanges packets alone nothing of this is known.
        let known = |number: String| if node.seen_at > Millis(0) { number } else { "-".to_owned() };
        let [cursor, ops] = [node.cursor.to_string(), node.last_seq.to_string()].map(known);
        table.row([node.node.clone(), cursor, behind.to_string(), ops, ago(node.seen_at)]);
    }
    let mut text = table.render(output);
    for view in &status.nodes {
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
