//! The configuration: defaults, overridden by one file, overridden by `SYNCLINE_*` variables,
//! overridden by flags. Every value remembers where it came from. Reads the environment once, at
//! the start of a command; starts nothing and writes nothing.

mod file;
mod keys;
mod value;

pub use file::Entry;
pub use keys::{ACCESS, KEYS, Key, Kind, nearest};
pub use value::{Value, read_bytes, read_millis, show_millis};

use crate::error::CliError;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is read when it exists and no other is named.
pub const DEFAULT_FILE: &str = "syncline.toml";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// A file and the line in it.
    File(String, usize),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(name, line) => write!(f, "{name}:{line}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// A value that a flag sets.
#[derive(Clone, Debug)]
pub struct FlagValue {
    /// The key's name.
    pub key: String,
    /// The flag as it was written.
    pub flag: String,
    /// Its text.
    pub text: String,
}

/// The effective configuration.
#[derive(Debug)]
pub struct Config {
    values: BTreeMap<&'static str, (Value, Origin)>,
    /// The `[[tokens]]` of the file.
    pub tokens: Vec<Entry>,
    /// The `[[collections]]` of the file.
    pub collections: Vec<Entry>,
    /// The `[[rooms.room]]` of the file.
    pub rooms: Vec<Entry>,
    /// The `[[auth.jwt.grants]]` of the file.
    pub grants: Vec<Entry>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Variables that begin with `SYNCLINE_` and set nothing. Orchestrators invent such names, so
    /// they are no error.
    pub strange_variables: Vec<String>,
}

impl Config {
    /// Reads file and environment and lays them and the flags over the defaults.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, wrong values.
    pub fn load(file: Option<&Path>, flags: &[FlagValue]) -> Result<Config, CliError> {
        let named = file.map(Path::to_owned).or_else(|| std::env::var_os("SYNCLINE_CONFIG").map(PathBuf::from));
        let path = named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let text = match &path {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|source| CliError::file("read", path, source))?),
            None => None,
        };
        let variables =
            std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        let mut config = Config::defaults();
        if let (Some(path), Some(text)) = (&path, &text) {
            config.lay_file(&path.display().to_string(), text)?;
        }
        config.lay_variables(variables)?;
        config.lay_flags(flags)?;
        config.file = path;
        Ok(config)
    }

    fn defaults() -> Config {
        let default = |key: &Key| value::read(key.kind, key.default).filter(|_| !key.default.is_empty());
        Config {
            values: KEYS
                .iter()
                .map(|key| (key.name, (default(key).unwrap_or(Value::Unset), Origin::Default)))
                .collect(),
            tokens: Vec::new(),
            collections: Vec::new(),
            rooms: Vec::new(),
            grants: Vec::new(),
            file: None,
            strange_variables: Vec::new(),
        }
    }

    fn lay_file(&mut self, name: &str, text: &str) -> Result<(), CliError> {
        let layer = file::parse(name, text)?;
        for (key, value, line) in layer.values {
            self.values.insert(key.name, (value, Origin::File(name.to_owned(), line)));
        }
        self.tokens = layer.tokens;
        self.collections = layer.collections;
        self.rooms = layer.rooms;
        self.grants = layer.grants;
        Ok(())
    }

    /// An empty variable counts as absent.
    fn lay_variables(&mut self, variables: impl Iterator<Item = (String, String)>) -> Result<(), CliError> {
        for (name, text) in variables.filter(|(name, text)| name.starts_with("SYNCLINE_") && !text.is_empty()) {
            match KEYS.iter().find(|key| key.variable() == name) {
                Some(key) => self.set(key, &text, Origin::Variable(name))?,
                None if name == "SYNCLINE_CONFIG" => {}
                None => self.strange_variables.push(name),
            }
        }
        self.strange_variables.sort();
        Ok(())
    }

    fn lay_flags(&mut self, flags: &[FlagValue]) -> Result<(), CliError> {
        for flag in flags {
            let key = KEYS.iter().find(|key| key.name == flag.key).ok_or_else(|| CliError::UnknownKey {
                place: flag.flag.clone(),
                key: flag.key.clone(),
                nearest: nearest(&flag.key, KEYS.iter().map(|key| key.name)).map(str::to_owned),
            })?;
            self.set(key, &flag.text, Origin::Flag(flag.flag.clone()))?;
        }
        Ok(())
    }

    fn set(&mut self, key: &'static Key, text: &str, origin: Origin) -> Result<(), CliError> {
        let value = value::read(key.kind, text).ok_or_else(|| CliError::WrongValue {
            place: origin.to_string(),
            key: key.name.into(),
            found: match (text, key.kind) {
                ("", _) => "empty".into(),
                (_, Kind::Secret) => "(hidden)".into(),
                _ => format!("`{text}`"),
            },
            expected: key.kind.expectation(),
        })?;
        self.values.insert(key.name, (value, origin));
        Ok(())
    }

    /// A value and where it came from.
    ///
    /// # Panics
    /// When the name is not in the table of keys.
    pub fn entry(&self, name: &str) -> (&Value, &Origin) {
        let (value, origin) = self.values.get(name).expect("the key is in the table of keys");
        (value, origin)
    }

    /// The text of a key, when something sets it.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.entry(name).0 {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The path of a key, when something sets it.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// The number of a key; every numeric key has a default.
    ///
    /// # Panics
    /// When the key is not numeric.
    pub fn number(&self, name: &str) -> u64 {
        match self.entry(name).0 {
            Value::Number(n) => *n,
            _ => unreachable!("numeric keys have defaults"),
        }
    }

    /// A number that bounds what is in memory.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    /// A key that takes a duration.
    pub fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    /// The items of a list key.
    pub fn list(&self, name: &str) -> &[String] {
        match self.entry(name).0 {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The running hub that is named, unless a flag names a data directory and no flag a hub: flags come before variables.
    pub fn hub(&self) -> Option<&str> {
        let by_flag = |key| matches!(self.entry(key).1, Origin::Flag(_));
        self.text("hub").filter(|_| by_flag("hub") || !by_flag("data"))
    }

    /// The directory that holds the hub's store.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(key: &str, text: &str) -> FlagValue {
        FlagValue { key: key.into(), flag: format!("--{key}"), text: text.into() }
    }

    fn variables(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn each_layer_overrides_the_one_before_and_is_named() {
        let mut config = Config::defaults();
        assert_eq!(config.entry("listen").1, &Origin::Default);
        config.lay_file("f.toml", "space = \"a\"\nlisten = \"f:1\"\ncollection = \"c\"\n").unwrap();
        config
            .lay_variables(variables(&[("SYNCLINE_LISTEN", "v:1"), ("SYNCLINE_SPACE", "b"), ("SYNCLINE_DATA", "")]))
            .unwrap();
        config.lay_flags(&[flag("listen", "x:1")]).unwrap();

        assert_eq!((config.text("listen"), config.entry("listen").1.to_string()), (Some("x:1"), "--listen".into()));
        assert_eq!((config.text("space"), config.entry("space").1.to_string()), (Some("b"), "SYNCLINE_SPACE".into()));
        assert_eq!(
            (config.text("collection"), config.entry("collection").1.to_string()),
            (Some("c"), "f.toml:3".into())
        );
        assert_eq!(config.entry("data").1, &Origin::Default, "an empty variable sets nothing");
    }

    #[test]
    fn strange_variables_are_noted_and_strange_flags_refused() {
        let mut config = Config::defaults();
        config.lay_variables(variables(&[("SYNCLINE_PORT", "tcp://10.0.0.1")])).unwrap();
        assert_eq!(config.strange_variables, ["SYNCLINE_PORT"]);
        let refusal = config.lay_flags(&[flag("limits.dept", "4")]).unwrap_err().to_string();
        assert!(refusal.contains("`limits.depth`"), "{refusal}");
    }

    #[test]
    fn a_wrong_variable_names_the_variable_and_hides_secrets() {
        let mut config = Config::defaults();
        let refusal = config.lay_variables(variables(&[("SYNCLINE_LIMITS_DEPTH", "deep")])).unwrap_err().to_string();
        assert!(refusal.contains("SYNCLINE_LIMITS_DEPTH") && refusal.contains("`deep`"), "{refusal}");
    }

    #[test]
    fn the_example_file_and_the_document_hold_every_key_and_its_default() {
        let example = include_str!("../../../../syncline.example.toml");
        let document = include_str!("../../../../docs/configuration.md");
        let mut config = Config::defaults();
        config.lay_file("syncline.example.toml", example).unwrap();
        for key in KEYS {
            let default = Config::defaults().entry(key.name).0.clone();
            assert_eq!(config.entry(key.name).0, &default, "{} in the example", key.name);
            let last = key.name.rsplit('.').next().unwrap_or(key.name);
            assert!(
                example.contains(&format!("{last} = ")) || key.name == "admin_token",
                "{} in the example",
                key.name
            );
            let row =
                document.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{}`", key.name)));
            let row = row.unwrap_or_else(|| panic!("{} in the document", key.name));
            assert!(key.default.is_empty() || row.contains(&format!("`{}`", key.default)), "{row}");
        }
    }
}
