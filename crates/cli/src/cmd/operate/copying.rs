//! A long copy of files on a thread that may block, with its progress, and what a backup holds in words.

use crate::error::CliError;
use crate::output::{Output, Table};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use syncline_server::store::{Copied, Manifest, Stage, StoreError};

/// Runs `work` and shows how far it is: a bar at a terminal, a line for each file elsewhere.
///
/// # Errors
/// Those of `work`.
pub async fn copy<T: Send + 'static>(
    output: Output,
    work: impl FnOnce(&mut dyn FnMut(Copied<'_>)) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, CliError> {
    let progress = Progress::new(output);
    let copied = tokio::task::spawn_blocking(move || {
        let done = work(&mut |copied: Copied<'_>| progress.show(copied));
        progress.end();
        done
    });
    Ok(copied.await.map_err(|error| CliError::Runtime(error.into()))??)
}

/// How far a copy is: a bar at a terminal, a line for each file elsewhere.
pub struct Progress {
    bar: ProgressBar,
    output: Output,
}

impl Progress {
    /// Nothing is copied yet.
    pub fn new(output: Output) -> Progress {
        let target = if output.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}").expect("it is well formed");
        bar.set_style(style);
        Progress { bar, output }
    }

    /// So much of a file is copied.
    pub fn show(&self, copied: Copied<'_>) {
        self.bar.set_length(copied.of);
        self.bar.set_position(copied.bytes);
        let (checking, file) = (copied.stage == Stage::Checking, copied.file);
        self.bar.set_message(if checking { format!("checking {file}") } else { file.to_owned() });
        if self.bar.is_hidden() && !checking && copied.bytes == copied.of {
            self.output.remark(&format!("{}  {}", copied.file, HumanBytes(copied.of)));
        }
    }

    /// It is over.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The spaces that a backup does not hold, and why.
pub fn left_out(manifest: &Manifest) -> String {
    let each = manifest.left_out.iter().map(|left| format!("space `{}`: {}", left.space, left.reason));
    each.collect::<Vec<_>>().join("; ")
}

/// What a backup holds.
pub fn describe(manifest: &Manifest, output: Output) -> String {
    let mut table = Table::new(["SPACE", "HEAD", "HORIZON", "SIZE", "EPOCH"]);
    for saved in &manifest.spaces {
        table.row([
            saved.space.to_string(),
            saved.lsn.to_string(),
            saved.horizon.to_string(),
            HumanBytes(saved.file.bytes).to_string(),
            saved.epoch.to_string(),
        ]);
    }
    table.render(output)
}
