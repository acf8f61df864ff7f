//! Cargo as a source of facts and as a tool.
//!
//! Owns how cargo is started and what is read from `cargo metadata`. Must never judge those facts:
//! the rules in [`crate::tidy`] do.

use crate::failure::Failure;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One package of the lock file.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Name in its manifest.
    pub name: String,
    /// Version.
    pub version: String,
    /// SPDX expression, where the manifest has one.
    pub license: Option<String>,
    /// Where it comes from; `None` for members of this workspace.
    pub source: Option<String>,
    /// Folder of its manifest.
    pub folder: PathBuf,
    /// Names of the packages it depends on, for any purpose.
    pub dependencies: Vec<String>,
}

/// The root of this repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("xtask lives in crates/xtask")
}

/// A cargo command at the root of the repository.
///
/// What `cargo run` tells xtask about itself is taken out of the environment: build scripts that
/// watch those variables would otherwise run again on each change of caller.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Every package of the lock file, members of the workspace included.
pub fn packages() -> Result<Vec<Package>, Failure> {
    let line = "cargo metadata --format-version 1 --locked";
    let output = command(&["metadata", "--format-version", "1", "--locked"])
        .output()
        .map_err(|source| Failure::CannotRun { command: line.into(), source })?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(Failure::StepFailed { step: "reading the dependency graph".into(), command: line.into() });
    }
    parse(&output.stdout).ok_or_else(|| Failure::Unreadable { what: line.into(), reason: "it has no packages".into() })
}

fn parse(json: &[u8]) -> Option<Vec<Package>> {
    let metadata: Value = serde_json::from_slice(json).ok()?;
    metadata["packages"].as_array()?.iter().map(package).collect()
}

fn package(value: &Value) -> Option<Package> {
    let text = |key: &str| value[key].as_str().map(String::from);
    let dependencies = value["dependencies"].as_array()?;
    Some(Package {
        name: text("name")?,
        version: text("version")?,
        license: text("license"),
        source: text("source"),
        folder: Path::new(&text("manifest_path")?).parent()?.to_path_buf(),
        dependencies: dependencies.iter().filter_map(|d| d["name"].as_str().map(String::from)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_the_answer_of_cargo() {
        let json = br#"{"packages":[{"name":"a","version":"1.0.0","license":"MIT","source":null,
            "manifest_path":"/x/a/Cargo.toml","dependencies":[{"name":"b","kind":"dev"}]}]}"#;
        let packages = parse(json).unwrap();
        assert_eq!(packages[0].name, "a");
        assert_eq!(packages[0].folder, Path::new("/x/a"));
        assert_eq!(packages[0].dependencies, ["b"]);
        assert!(packages[0].source.is_none());
        assert!(parse(b"[]").is_none());
    }
}
