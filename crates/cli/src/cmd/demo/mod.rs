//! `syncline demo`: a hub and three devices in this process, told step by step. Everything is real:
//! files, a listening hub, HTTP; only the lost reply is arranged. Ends well only when the hub and
//! all devices hold exactly the same.

mod device;
mod lossy;
mod story;
mod world;

use crate::error::CliError;
use crate::output::Output;
use std::time::Duration;
use story::Story;
use world::World;

/// Arguments of `syncline demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Takes a few seconds, needs no network, and leaves nothing behind.
Exit code 0: the hub and all devices hold exactly the same at the end; 1: they do not.

Examples:
  syncline demo
  syncline demo --json")]
pub struct Args {}

/// Tells the story.
///
/// # Errors
/// The machine does not let a hub listen, or the devices did not converge.
pub async fn run(_args: &Args, output: Output) -> Result<(), CliError> {
    let mut story = Story::new(output);
    let mut world = World::start().await?;
    story.step("A hub and three devices");
    story.say(&format!("A hub listens on {}. Laptop, phone and tablet each have a database file.", world.url()));
    first_notes(&mut world, &mut story).await?;
    offline(&mut world, &mut story).await?;
    crash(&mut world, &mut story).await?;
    let lost = conflict(&mut world, &mut story).await?;
    let documents = converge(&mut world, &mut story).await?;
    world.stop().await?;
    story.end(&lost, &documents)
}

async fn first_notes(world: &mut World, story: &mut Story) -> Result<(), CliError> {
    story.step("The first notes");
    world.laptop.insert("milk", "Buy milk")?;
    world.laptop.insert("roof", "Call the roofer")?;
    story.say("Laptop writes two notes; each is safe on its disk at once.");
    world.sync_all().await?;
    story.say(&format!(
        "All sync: laptop {}, phone {}, tablet {} notes.",
        world.laptop.count()?,
        world.phone.count()?,
        world.tablet.count()?
    ));
    Ok(())
}

async fn offline(world: &mut World, story: &mut Story) -> Result<(), CliError> {
    story.step("Offline");
    story.say("The network is gone. Everybody goes on working:");
    world.laptop.set("milk", "title", "Buy oat milk")?;
    story.say("  laptop renames `milk` to \"Buy oat milk\"");
    // A moment that the story calls "later".
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.phone.set("milk", "title", "Buy milk and bread")?;
    world.phone.set("milk", "done", true)?;
    story.say("  phone renames the same note to \"Buy milk and bread\", later, and ticks it off");
    world.tablet.insert("tent", "Dry the tent")?;
    world.tablet.remove("roof")?;
    story.say("  tablet writes `tent` and removes `roof`");
    Ok(())
}

async fn crash(world: &mut World, story: &mut Story) -> Result<(), CliError> {
    story.step("A crash in the middle");
    let before = world.head().await?;
    world.phone.push_and_lose_the_reply().await?;
    let taken = world.head().await? - before;
    story.say(&format!(
        "The network is back. Phone pushes, the hub commits {taken} changes, and the reply is lost on its way."
    ));
    world.phone.crash()?;
    story.say("At that moment the phone's process dies. It starts again from what its disk held.");
    let before = world.head().await?;
    world.phone.sync().await?;
    let again = world.head().await? - before;
    story.say(&format!("It pushes the same batch again; the hub knows it and takes {again} further changes."));
    if taken == 0 || again > 0 {
        return Err(CliError::Diverged(format!("the hub took {taken} changes before the crash and {again} after it")));
    }
    Ok(())
}

async fn conflict(world: &mut World, story: &mut Story) -> Result<Vec<serde_json::Value>, CliError> {
    story.step("A conflict");
    world.laptop.sync().await?;
    story.say("Laptop syncs. Its new title met the phone's, which is later and wins; the tick stays too.");
    let lost = world.conflicts().await?;
    for row in &lost {
        story.say(&format!(
            "Nothing is lost in silence. The hub's conflict ledger keeps it: {} lost {} to {}.",
            row["loser"].as_str().unwrap_or_default(),
            row["losing"],
            row["winning"],
        ));
    }
    if lost.is_empty() {
        return Err(CliError::Diverged("two devices changed one field and the ledger holds nothing".into()));
    }
    Ok(lost)
}

async fn converge(world: &mut World, story: &mut Story) -> Result<Vec<serde_json::Value>, CliError> {
    story.step("Convergence");
    world.sync_all().await?;
    story.say("All sync once more. The notes now, in the hub and on every device:");
    let documents = world.equal().await?;
    for document in &documents {
        story.say(&format!("  {document}"));
    }
    Ok(documents)
}
