//! Mappings that fit and those that do not, each with its answer.

use super::*;
use crate::catalogue::{Column, ForeignKey};

fn column(name: &str, declared: &str) -> Column {
    let affinity = match declared {
        "INTEGER" => Affinity::Integer,
        "REAL" => Affinity::Real,
        _ => Affinity::Text,
    };
    Column {
        name: name.into(),
        declared: declared.into(),
        affinity,
        form: Form::Plain,
        respells: false,
        not_null: false,
        generated: name.starts_with("gen"),
    }
}

fn table(name: &str, key: &[&str], columns: &[(&str, &str)], references: &[(&str, &str)]) -> Table {
    Table {
        name: name.into(),
        columns: columns.iter().map(|(name, declared)| column(name, declared)).collect(),
        key: key.iter().map(ToString::to_string).collect(),
        numbered: key == ["id"],
        references: references
            .iter()
            .map(|(column, table)| ForeignKey {
                columns: vec![column.to_string()],
                table: table.to_string(),
                targets: Vec::new(),
                cascades: false,
                defers: true,
            })
            .collect(),
        ..Table::default()
    }
}

fn shop() -> Catalogue {
    let tables = vec![
        table("brigades", &["id"], &[("id", "INTEGER"), ("name", "TEXT")], &[]),
        table("log", &[], &[("line", "TEXT")], &[]),
        table("odd", &["id"], &[("id", "INTEGER"), ("_id", "TEXT"), ("gen_total", "REAL")], &[]),
        table("pairs", &["a", "b"], &[("a", "INTEGER"), ("b", "TEXT")], &[]),
        table("points", &["x"], &[("x", "REAL")], &[]),
        table(
            "reports",
            &["id"],
            &[("id", "INTEGER"), ("uuid", "TEXT"), ("brigade_id", "INTEGER"), ("day", "TEXT")],
            &[("brigade_id", "brigades")],
        ),
        table(
            "report_lines",
            &["id"],
            &[("id", "INTEGER"), ("report_id", "INTEGER"), ("n", "INTEGER")],
            &[("report_id", "reports")],
        ),
        table("photos", &["id"], &[("id", "INTEGER"), ("line_id", "INTEGER")], &[("line_id", "report_lines")]),
    ];
    Catalogue { tables }
}

fn plan(text: &str) -> Result<Plan, AttachError> {
    Plan::new(&Mapping::parse(text).unwrap(), &shop(), &|_, _| None)
}

const REPORT: &str = "[types.Report]\ntable = \"reports\"\nuuid = \"uuid\"\n";
const LINES: &str = "[types.Report.lines.lines]\ntable = \"report_lines\"\nparent = \"report_id\"\n";
const BRIGADE: &str = "[types.Brigade]\ntable = \"brigades\"\n";

#[test]
fn columns_become_fields_without_local_keys_and_references_name_types() {
    let plan = plan(&format!("{REPORT}{LINES}{BRIGADE}")).unwrap();
    let report = plan.named("Report").unwrap();
    let fields: Vec<&str> = report.columns.iter().map(|column| column.field.as_str()).collect();
    assert_eq!(fields, ["brigade_id", "day"]);
    assert_eq!(report.columns[0].refers, Refers::Key { kind: "Brigade".into() });
    assert_eq!(report.lines[0].parent, ("report_id".into(), "id".into()));
    assert_eq!(report.lines[0].columns.len(), 1, "neither the key of a line nor its parent is exchanged");
}

#[test]
fn a_target_that_is_not_exchanged_is_named_by_its_value() {
    let plan = plan(REPORT).unwrap();
    assert_eq!(plan.types[0].columns[0].refers, Refers::Row { table: "brigades".into(), column: "id".into() });
}

#[test]
fn each_mapping_that_does_not_fit_is_answered_with_its_place_and_what_would() {
    for (text, at, said) in [
        ("", "types", "names no table"),
        ("[types.A]\ntable = \"nothing\"", "types.A.table", "it has: brigades, log"),
        ("[types.A]\ntable = \"sync_nodes\"", "types.A.table", "Syncline's own"),
        ("[types.A]\ntable = \"log\"", "types.A.table", "no primary key"),
        ("[types.A]\ntable = \"log\"\nkey = [\"line\"]", "types.A.key", "not declared unique"),
        ("[types.A]\ntable = \"points\"", "types.A", "a number with a fraction"),
        ("[types.A]\ntable = \"odd\"", "types.A", "fields = { \"_id\" = \"row_id\" }"),
        ("[types.A]\ntable = \"odd\"\nfields = { gen_total = \"t\" }", "types.A.fields", "computes itself"),
        ("[types.A]\ntable = \"brigades\"\nexclude = [\"nam\"]", "types.A.exclude", "it has: id, name"),
        ("[types.A]\ntable = \"brigades\"\nuuid = \"uuid\"", "types.A.uuid", "no column of `brigades`"),
        ("[types.A]\ntable = \"brigades\"\nmatch = [\"id\"]", "types.A.match", "not exchanged"),
        (
            "[types.A]\ntable = \"brigades\"\n[types.B]\ntable = \"Brigades\"",
            "types.B.table",
            "`types.A.table` maps already",
        ),
        ("[types.\"a b\"]\ntable = \"brigades\"", "types.a b", "letters, digits"),
        ("[types.A]\ntable = \"pairs\"\nfields = { a = \"b\" }", "types.A", "field `b`"),
        ("[types.A]\ntable = \"reports\"\nreferences = { day = \"Day\" }", "types.A.references", "type `Day`"),
        (&format!("{REPORT}{LINES}[types.P]\ntable = \"photos\""), "types.P", "lines of other objects"),
    ] {
        match plan(text) {
            Err(AttachError::Mapping { at: place, reason }) => {
                assert_eq!(place, at, "{reason}");
                assert!(reason.contains(said), "{text}: {reason}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn composite_keys_are_data_and_shared_numbers_too() {
    let pairs = plan("[types.Pair]\ntable = \"pairs\"").unwrap();
    assert_eq!((pairs.types[0].key.len(), pairs.types[0].columns.len()), (2, 2));
    let shared = plan("[types.Brigade]\ntable = \"brigades\"\nshare_key = true").unwrap();
    assert!(!shared.types[0].numbered && shared.types[0].columns[0].field == "id");
}
