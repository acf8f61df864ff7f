//! `syncline token`: who may use the hub. A token's secret is shown once, when it is made; the hub
//! keeps only its hash.

mod show;

use crate::config::ACCESS;
use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::hub::{Admin, NewToken, TokenChangeWish, TokenWish};
use crate::output::{Output, Style};
use clap::builder::PossibleValuesParser;
use serde_json::json;
use syncline_core::model::NodeId;

/// Arguments of `syncline token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token and show it once
    #[command(after_help = "Examples:
  syncline token add phone                                   read and write everything in the default space
  syncline token add kiosk --access read --collections menu --expires 30d
  syncline token add shop-7 --space shop --collections orders,stock
  syncline token add wise-app --collection notes             for apps that use the bare /sync/… paths
  syncline token add back-end --emit                         publish events to pages (POST /api/sync/emit)
  syncline token add staff-page --access read --rooms files,admin
  syncline token add anna --collections tasks --rows '{\"tasks\": {\"owner\": \"$sub\"}}'    only her own tasks
  syncline token add desk --read-rows '{\"orders\": {\"shop\": \"$shop\"}}' --claim shop=7
  syncline token add ops --access admin")]
    Add(AddArgs),
    /// Let a token allow something else; its secret stays, and so does what is not named
    #[command(after_help = "Examples:
  syncline token change kiosk --collections menu,prices
  syncline token change kiosk --expires 60d
  syncline token change kiosk --collections '*' --expires never
  syncline token change anna --rows '{\"tasks\": {\"team\": \"$team\"}}' --claim team=7
  syncline token change anna --rows '{\"tasks\": null}'                 all tasks again")]
    Change(ChangeArgs),
    /// List the tokens (never their secrets)
    #[command(after_help = "Examples:\n  syncline token list\n  syncline token list --json")]
    List(ListArgs),
    /// Take a token away; whoever uses it is refused from now on
    #[command(after_help = "Examples:\n  syncline token remove phone")]
    Remove(NamedArgs),
    /// Give a token a new secret and show it once; the old one is refused from now on
    #[command(after_help = "Examples:\n  syncline token rotate phone")]
    Rotate(NamedArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The token's name; it says in lists and logs who made a change
    name: String,
    /// What it may do; admin includes reading and writing
    #[arg(long, value_parser = PossibleValuesParser::new(ACCESS), default_value = "read-write")]
    access: String,
    /// The space that it opens, `*` for every one [default: the hub's default space; for an admin every one]
    #[arg(long)]
    space: Option<String>,
    /// The only collections that it opens [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    collections: Vec<String>,
    /// Its collection on the bare /sync/… paths [default: the hub's default collection]
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Let it publish events to rooms
    #[arg(long)]
    emit: bool,
    /// The only rooms that it opens, those that need a grant among them [default: all that need none]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    rooms: Vec<String>,
    /// When it ends: a duration (30d, 12h) or a time (2027-01-31T00:00:00Z) [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Of these collections only some documents: a JSON object with a filter for each, or @FILE that holds one. Other
    /// collections are open whole unless --collections leaves them out
    #[arg(long, value_name = "JSON|@FILE")]
    rows: Option<String>,
    /// The same for reading, where it differs from --rows
    #[arg(long, value_name = "JSON|@FILE")]
    read_rows: Option<String>,
    /// The same for writing, where it differs from --rows
    #[arg(long, value_name = "JSON|@FILE")]
    write_rows: Option<String>,
    /// What "$NAME" stands for in filters: a text or JSON; "$sub" is the token's name unless given (repeatable)
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The only node (device id) that may use it [default: any]
    #[arg(long, value_name = "ID")]
    node: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// The token's name
    name: String,
    #[command(flatten)]
    wish: TokenChangeWish,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct NamedArgs {
    /// The token's name
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Administers tokens.
///
/// # Errors
/// The hub refuses, or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Add(args) => add(args, output).await,
        Action::Change(args) => change(args, output).await,
        Action::List(args) => list(args, output).await,
        Action::Remove(args) => {
            let name = NodeId::new(&args.name)?;
            args.admin.with(async |admin, _| admin.remove_token(&name).await).await?;
            output.result(&json!({ "removed": args.name }), || format!("Token `{}` is removed.", args.name))
        }
        Action::Rotate(args) => {
            let name = NodeId::new(&args.name)?;
            let token = args.admin.with(async |admin, _| admin.rotate_token(&name).await).await?;
            show_once(&token, output)
        }
    }
}

async fn add(args: &AddArgs, output: Output) -> Result<(), CliError> {
    let wish = wish(args);
    let make = async |admin: &Admin, space| {
        let spec = wish.spec(&space)?;
        let known = admin.spaces().await?;
        let made = spec.space.clone().filter(|space| !known.contains(space));
        Ok((admin.add_token(spec).await?, made))
    };
    let (token, made) = args.admin.with(make).await?;
    if let Some(space) = made {
        output.remark(&format!("space `{space}` did not exist; it was made for the token"));
    }
    remark(&token.remarks, output);
    show_once(&token, output)
}

async fn change(args: &ChangeArgs, output: Output) -> Result<(), CliError> {
    let (name, change) = (NodeId::new(&args.name)?, args.wish.change()?);
    let done = args.admin.with(async |admin, _| admin.change_token(&name, &change).await).await?;
    remark(&done.remarks, output);
    output.result(&done, || {
        format!("Token `{name}` is changed; its secret stays. It allows now:\n{}", show::allowed(&done.changed.spec))
    })
}

fn remark(remarks: &[String], output: Output) {
    remarks.iter().for_each(|remark| output.remark(&format!("note: {remark}")));
}

fn wish(args: &AddArgs) -> TokenWish {
    TokenWish {
        name: args.name.clone(),
        access: Some(args.access.clone()),
        space: args.space.clone(),
        collections: args.collections.clone(),
        collection: args.collection.clone(),
        node: args.node.clone(),
        emit: args.emit,
        rooms: args.rooms.clone(),
        rows: args.rows.clone(),
        read_rows: args.read_rows.clone(),
        write_rows: args.write_rows.clone(),
        claims: args.claims.clone(),
        expires: args.expires.clone(),
    }
}

async fn list(args: &ListArgs, output: Output) -> Result<(), CliError> {
    let tokens = args.admin.with(async |admin, _| admin.tokens().await).await?;
    output.result(&tokens, || match tokens.len() {
        0 => "There are no tokens. Make one: syncline token add NAME".into(),
        _ => show::table(&tokens).render(output),
    })
}

fn show_once(token: &NewToken, output: Output) -> Result<(), CliError> {
    output.result(token, || {
        let hint = output.paint(Style::Faint, "Keep it now: it is shown only once and cannot be read back.");
        format!("Token `{}`:\n\n  {}\n\n{hint}", token.name, output.paint(Style::Bold, &token.token))
    })
}
