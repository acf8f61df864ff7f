//! `syncline node add`: registers a node and shows its token once.

use super::secret;
use crate::error::CliError;
use crate::groups::{AdminArgs, ConfigArgs};
use crate::hub::{Admin, PlanWish};
use crate::output::Output;
use syncline_core::model::{NodeId, Plan, Registration, SpaceName};
use uuid::Uuid;

/// Arguments of `syncline node add`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id, a UUID [default: a new one]
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
    /// A short unique code, e.g. DESKTOP-USER-1
    #[arg(long)]
    code: String,
    /// A name for people [default: the code]
    #[arg(long)]
    name: Option<String>,
    /// The node's own token, at least 8 characters [default: the hub makes one and shows it once]
    #[arg(long, value_name = "SECRET")]
    token: Option<String>,
    #[command(flatten)]
    plan: PlanWish,
    /// The space [default: the hub's default space]
    #[arg(long)]
    space: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// URL of the running hub [variable SYNCLINE_HUB]
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// The admin token to show to that hub [variable SYNCLINE_TOKEN]; --token is the node's own here
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,
}

/// Registers a node.
///
/// # Errors
/// The id or the code is taken, the plan cannot work; the hub refuses, or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let registration = Registration {
        id: NodeId::new(args.id.clone().unwrap_or_else(|| Uuid::new_v4().to_string()))?,
        code: args.code.clone(),
        name: args.name.clone().unwrap_or_else(|| args.code.clone()),
        plan: args.plan.apply(&Plan::default())?,
    };
    let hub = AdminArgs::new(args.config.clone(), args.hub.clone(), args.admin_token.clone());
    let register = async |admin: &Admin, space: &SpaceName| {
        Ok((admin.register(space, registration, args.token.clone()).await?, space.clone()))
    };
    let made = hub.with_space(args.space.as_deref(), register).await;
    let (made, space) = made.map_err(|error| match (error, &args.token) {
        (CliError::NoToken { .. }, Some(_)) => CliError::Usage(
            "--token is the node's own token here; give the hub's admin token by --admin-token or SYNCLINE_TOKEN"
                .into(),
        ),
        (error, _) => error,
    })?;
    output.result(&made, || {
        let registered = format!("Node {} ({}) is registered in space `{space}`.", made.node.code, made.node.id);
        match &args.token {
            Some(_) => format!("{registered} It has the token that you gave."),
            None => format!("{registered}\n\n{}", secret(&made, output)),
        }
    })
}
