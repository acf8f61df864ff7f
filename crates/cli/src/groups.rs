//! Groups of arguments that several commands share: where the configuration comes from, which hub is
//! meant.

use crate::config::{Config, FlagValue};
use crate::error::CliError;
use crate::hub::{Admin, default_space};
use std::path::PathBuf;
use syncline_core::model::SpaceName;

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file [default: ./syncline.toml when it exists; variable SYNCLINE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that holds the hub's store [default: ./syncline-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// PostgreSQL database that holds it instead: postgres://USER:PASSWORD@HOST:5432/DATABASE. Others on this machine
    /// can read arguments: better name it in the file or by SYNCLINE_STORE
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Set any configuration key, e.g. --set limits.page_changes=500 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// The configuration with these flags on top.
    ///
    /// # Errors
    /// The configuration is wrong, or a `--set` has no `=`.
    pub fn load(&self) -> Result<Config, CliError> {
        self.load_with(Vec::new())
    }

    /// The configuration with these and a command's own flags on top.
    ///
    /// # Errors
    /// As [`ConfigArgs::load`].
    pub fn load_with(&self, own: Vec<(&str, Option<String>)>) -> Result<Config, CliError> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let (key, text) = pair.split_once('=').ok_or_else(|| {
                CliError::Usage(format!("--set takes KEY=VALUE and got `{pair}`, e.g. --set limits.depth=32"))
            })?;
            flags.push(FlagValue { key: key.into(), flag: "--set".into(), text: text.into() });
        }
        let named = own.into_iter().chain([("data", self.data.clone()), ("store", self.store.clone())]);
        flags.extend(named.filter_map(|(key, text)| {
            let flag = format!("--{}", key.rsplit_once('.').map_or(key, |_| key).replace(['.', '_'], "-"));
            Some(FlagValue { key: key.into(), flag, text: text? })
        }));
        Config::load(self.config.as_deref(), &flags)
    }
}

/// Which hub is administered: the one that is named, or the one of the data directory.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AdminArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    hub: HubArgs,
}

impl AdminArgs {
    /// For a command whose own arguments say it by other names.
    pub fn new(config: ConfigArgs, hub: Option<String>, token: Option<String>) -> AdminArgs {
        AdminArgs { config, hub: HubArgs { hub, token } }
    }

    /// The configuration with the flags on top.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn load(&self) -> Result<Config, CliError> {
        self.config.load_with(self.hub.flags())
    }

    /// Finds the way in, and the default space.
    ///
    /// # Errors
    /// The configuration is wrong, or there is no way in.
    pub async fn open(&self) -> Result<(Admin, SpaceName), CliError> {
        let config = self.load()?;
        Ok((Admin::open(&config).await?, default_space(&config)?))
    }

    /// Lets `work` administer the hub, in the default space where it names none.
    ///
    /// # Errors
    /// As [`AdminArgs::open`], or those of `work`.
    pub async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Admin, SpaceName) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let (admin, default_space) = self.open().await?;
        let done = work(&admin, default_space).await?;
        admin.close().await?;
        Ok(done)
    }

    /// The same in a space that a flag may name.
    ///
    /// # Errors
    /// As [`AdminArgs::with`], or the name is none.
    pub async fn with_space<T>(
        &self,
        named: Option<&str>,
        work: impl AsyncFnOnce(&Admin, &SpaceName) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let named = named.map(SpaceName::new).transpose()?;
        self.with(async |admin, default_space| work(admin, &named.unwrap_or(default_space)).await).await
    }
}

/// Which space of which hub is administered.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SpaceArgs {
    /// The space [default: the hub's default space]
    #[arg(long)]
    space: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

impl SpaceArgs {
    /// Lets `work` administer the space.
    ///
    /// # Errors
    /// As [`AdminArgs::with_space`].
    pub async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Admin, &SpaceName) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        self.admin.with_space(self.space.as_deref(), work).await
    }
}

/// Which hub a command talks to.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HubArgs {
    /// URL of the running hub, for administration also unix:PATH [variable SYNCLINE_HUB]
    #[arg(long, value_name = "URL")]
    pub hub: Option<String>,
    /// Token to show to the hub [variable SYNCLINE_TOKEN]
    #[arg(long, value_name = "TOKEN", alias = "admin-token")]
    pub token: Option<String>,
}

impl HubArgs {
    /// The flags as values of configuration keys.
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("hub", self.hub.clone()), ("token", self.token.clone())]
    }
}

/// The hub's URL and the token for it.
///
/// # Errors
/// One of them is not named.
pub fn way(config: &Config) -> Result<(&str, &str), CliError> {
    let url = config
        .text("hub")
        .ok_or_else(|| CliError::Usage("no hub is named; add --hub http://HOST:7460, or set SYNCLINE_HUB".into()))?;
    let token = config.text("token").ok_or_else(|| CliError::NoToken { url: url.to_owned() })?;
    Ok((url, token))
}
