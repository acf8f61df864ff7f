//! `syncline node list`: the registered nodes of a space, and everybody who has read or pushed.

use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::hub::{Admin, SpaceStatus, ago};
use crate::output::{Output, Style, Table};
use syncline_core::model::{Millis, SpaceName};
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
    for hub::NodeView { node, behind } in &status.nodes {
        // Of a node that exchanges packets alone nothing of this is known.
        let known = |number: String| if node.seen_at > Millis(0) { number } else { "-".to_owned() };
        let [cursor, ops] = [node.cursor.to_string(), node.last_seq.to_string()].map(known);
        table.row([node.node.clone(), cursor, behind.to_string(), ops, ago(node.seen_at)]);
    }
    table.render(output)
}
