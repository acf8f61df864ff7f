//! The mapping file: which tables are exchanged, as which types. Owns its form; whether it fits a database is
//! the business of `plan`.

use crate::error::AttachError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use syncline_core::wire::exchange::{is_uuid, major_version};

/// The id of a hub that was given no other one.
pub const DEFAULT_HUB_ID: &str = "00000000-0000-4000-8000-000000000000";

/// A mapping file, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Version of the data's schema: `major.minor.patch`. Hub and nodes must have the same first number.
    #[serde(default = "first_version")]
    pub schema_version: String,
    /// UUID of the hub.
    #[serde(default = "default_hub")]
    pub hub_id: String,
    /// By the names of types, which are collections at the hub.
    #[serde(default)]
    pub types: BTreeMap<String, TypeMap>,
}

/// One table whose rows are objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeMap {
    /// The table.
    pub table: String,
    /// The column that holds the object's UUID; without it ids are kept beside the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The column that says when a row was last changed, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// The column that marks a row as removed: what the hub removes is marked instead of deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_deleted: Option<String>,
    /// Columns that the table does not have and that are made for it; `syncline attach remove` takes them away again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Added>,
    /// Columns that tell rows apart, where the table has no primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The number that is the primary key means the same everywhere, and is exchanged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub share_key: bool,
    /// Columns by which a row and an object of the hub are found to be the same at first contact.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matching: Vec<String>,
    /// What is exchanged of a row.
    #[serde(flatten)]
    pub columns: ColumnsMap,
    /// By field: child tables whose rows are a list inside the object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lines: BTreeMap<String, LinesMap>,
}

/// A column that is made on request, of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// The object's UUID.
    Uuid,
    /// When the row was last changed; triggers keep it.
    UpdatedAt,
    /// Marks a row as removed.
    IsDeleted,
}

impl Added {
    /// Its name.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Added::Uuid => "uuid",
            Added::UpdatedAt => "updated_at",
            Added::IsDeleted => "is_deleted",
        }
    }
}

/// A child table whose rows stand inside the objects of another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinesMap {
    /// The table.
    pub table: String,
    /// Its column that names the row of the object.
    pub parent: String,
    /// Columns that give the order [default: the primary key].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Columns that tell the lines of one object apart [default: a column `uuid`, else the place in the list].
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matching: Vec<String>,
    /// What is exchanged of a line.
    #[serde(flatten)]
    pub columns: ColumnsMap,
}

/// Which columns are exchanged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnsMap {
    /// Columns that stay here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Fields by columns, where the names differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// How values are written in packets, where their type does not say it.
    #[serde(default, rename = "as", skip_serializing_if = "BTreeMap::is_empty")]
    pub forms: BTreeMap<String, Form>,
    /// Types by columns that refer to them, where the database declares no foreign key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
}

/// How a column's values are written in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As their storage class is: numbers as numbers, text as text.
    Plain,
    /// Numbers as text, for readers that know no number beyond 2^53.
    Text,
    /// 0 and 1 as false and true.
    Boolean,
    /// Text that is JSON as the value that it is.
    Json,
    /// Text that is a number as that number, with all its digits.
    Decimal,
    /// `{1,t}` as `[1, true]`: PostgreSQL's arrays of numbers and booleans.
    Array,
    /// `{1,t}` as `["1", "t"]`: PostgreSQL's arrays of everything else.
    TextArray,
    /// `2025-12-12 10:00:00.000000` as `2025-12-12T10:00:00`; what comes with a zone is turned to UTC.
    Datetime,
    /// The same without a fraction: `2025-12-12 10:00:00`.
    DatetimeSeconds,
    /// `2025-12-12 10:00:00+00` as `2025-12-12T10:00:00Z`.
    Instant,
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// [`AttachError::Syntax`] with line and column, [`AttachError::Mapping`] for a version or an id that is none.
    pub fn parse(text: &str) -> Result<Mapping, AttachError> {
        let mut mapping: Mapping = toml::from_str(text).map_err(|e| AttachError::Syntax(e.to_string()))?;
        if major_version(&mapping.schema_version).is_none() {
            return Err(AttachError::mapping("schema_version", "must be a version such as \"1.2.0\""));
        }
        if !is_uuid(&mapping.hub_id) {
            return Err(AttachError::mapping("hub_id", format!("must be a UUID such as \"{DEFAULT_HUB_ID}\"")));
        }
        for (kind, wish) in &mut mapping.types {
            wish.take_added(&format!("types.{kind}"))?;
        }
        Ok(mapping)
    }
}

impl TypeMap {
    /// Columns that are made are those that they are made for.
    fn take_added(&mut self, at: &str) -> Result<(), AttachError> {
        for added in &self.add {
            let name = added.column();
            let option = match added {
                Added::Uuid => &mut self.uuid,
                Added::UpdatedAt => &mut self.updated_at,
                Added::IsDeleted => &mut self.is_deleted,
            };
            if option.get_or_insert_with(|| name.to_owned()) != name {
                let reason = format!("has `{name}` made and names another column for it; keep one of the two");
                return Err(AttachError::mapping(format!("{at}.{name}"), reason));
            }
        }
        if self.add.contains(&Added::UpdatedAt) {
            self.columns.forms.entry(Added::UpdatedAt.column().to_owned()).or_insert(Form::Datetime);
        }
        Ok(())
    }
}

fn first_version() -> String {
    "1.0.0".into()
}

fn default_hub() -> String {
    DEFAULT_HUB_ID.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_mapping_has_is_named_with_its_line() {
        for (text, said) in [
            ("schema_versio = \"1.0.0\"", "schema_versio"),
            ("[types.A]\ntable = \"a\"\nuid = \"u\"", "uid"),
            ("[types.A]\ntable = \"a\"\n[types.A.lines.l]\ntable = \"l\"\nparent = \"p\"\nuuid = \"u\"", "uuid"),
        ] {
            let refused = Mapping::parse(text).unwrap_err().to_string();
            assert!(refused.contains(said) && refused.contains("line"), "{refused}");
        }
        assert!(Mapping::parse("schema_version = \"one\"").unwrap_err().to_string().contains("schema_version"));
        assert!(Mapping::parse("hub_id = \"hub\"").unwrap_err().to_string().contains("hub_id"));
    }

    #[test]
    fn a_short_mapping_is_enough() {
        let mapping = Mapping::parse("[types.Note]\ntable = \"notes\"\nas = { done = \"boolean\" }").unwrap();
        assert_eq!((mapping.schema_version.as_str(), mapping.hub_id.as_str()), ("1.0.0", DEFAULT_HUB_ID));
        assert_eq!(mapping.types["Note"].columns.forms["done"], Form::Boolean);
    }
}
