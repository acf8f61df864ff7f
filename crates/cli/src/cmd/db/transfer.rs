//! `db import` and `db export`: files in and out, with a progress bar.

use super::{Place, input, progress};
use crate::error::CliError;
use crate::output::Output;
use clap::ValueEnum;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use syncline::Collection;
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::transfer::{Columns, Exporter, Format, Import, TransferError};

/// Documents that become durable together while importing.
const BATCH: usize = 500;

/// Arguments of `db import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Documents without _id get one. In CSV the first row names the fields; `address.city` is a field
inside a field.

Examples:
  syncline db import shop.db products products.csv
  syncline db import shop.db products products.json --upsert
  curl -s https://example.com/list.ndjson | syncline db import shop.db products - --format ndjson"
)]
pub struct ImportArgs {
    #[command(flatten)]
    place: Place,
    /// The file to read; `-` is standard input
    source: PathBuf,
    /// How documents stand in it [default: by the file's name]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Documents whose _id exists replace the old ones; otherwise they are an error
    #[arg(long)]
    upsert: bool,
}

/// Arguments of `db export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db export shop.db products products.csv
  syncline db export shop.db products products.json --filter '{\"stock\": 0}'
  syncline db export shop.db products --format ndjson | wc -l")]
pub struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// The file to write; `-` is standard output
    #[arg(default_value = "-")]
    target: PathBuf,
    /// How documents stand in it [default: by the file's name; ndjson on standard output]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Only documents that match
    #[arg(long, default_value = "{}", hide_default_value = true, value_name = "JSON")]
    filter: String,
}

/// How documents stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// One JSON list
    Json,
    /// One JSON object per line
    Ndjson,
    /// A table with a header
    Csv,
}

impl FormatName {
    fn format(self) -> Format {
        match self {
            FormatName::Json => Format::JsonArray,
            FormatName::Ndjson => Format::JsonLines,
            FormatName::Csv => Format::Csv,
        }
    }
}

fn format_of(path: &Path, named: Option<FormatName>, fallback: Option<Format>) -> Result<Format, CliError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    named.map(FormatName::format).or_else(|| extension.and_then(Format::from_extension)).or(fallback).ok_or_else(|| {
        CliError::Usage(format!(
            "the name `{}` does not say how documents stand in it; add --format json, ndjson or csv",
            path.display()
        ))
    })
}

/// Reads documents from a file.
///
/// # Errors
/// A record that is no document: those before its batch are imported, and the message says how many.
pub fn import(args: &ImportArgs, output: Output) -> Result<(), CliError> {
    let format = format_of(&args.source, args.format, None)?;
    let from_input = args.source.as_os_str() == "-";
    let (source, bytes): (Box<dyn io::Read>, Option<u64>) = if from_input {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(&args.source).map_err(|source| CliError::file("read", &args.source, source))?;
        let bytes = file.metadata().map(|metadata| metadata.len()).ok();
        (Box::new(file), bytes)
    };
    let bar = bytes.map_or_else(|| progress::counter(output, "bytes"), |bytes| progress::bar(output, bytes, "bytes"));
    let (_database, collection) = args.place.open()?;
    let mut imported = 0;
    let mut batch = Vec::with_capacity(BATCH);
    let stopped = |error, imported| CliError::Import { imported, source: Box::new(error) };
    for document in Import::new(bar.wrap_read(source), format) {
        batch.push(document.map_err(|error| stopped(error.into(), imported))?);
        if batch.len() == BATCH {
            imported += store(&collection, &mut batch, args.upsert).map_err(|error| stopped(error, imported))?;
        }
    }
    imported += store(&collection, &mut batch, args.upsert).map_err(|error| stopped(error, imported))?;
    bar.finish_and_clear();
    output.result(&json!({ "imported": imported }), || format!("{imported} imported"))
}

fn store(collection: &Collection, batch: &mut Vec<Value>, upsert: bool) -> Result<u64, CliError> {
    let documents = std::mem::take(batch);
    let count = documents.len() as u64;
    if upsert {
        collection.upsert_many(documents)?;
    } else {
        collection.insert_many(documents)?;
    }
    Ok(count)
}

/// Writes documents to a file.
///
/// # Errors
/// The file cannot be written.
pub fn export(args: &ExportArgs, output: Output) -> Result<(), CliError> {
    let to_output = args.target.as_os_str() == "-";
    let format = format_of(&args.target, args.format, to_output.then_some(Format::JsonLines))?;
    let filter = Filter::parse(&input::object("--filter", &args.filter)?)?;
    let (_database, collection) = args.place.open_existing()?;
    let documents = collection.find(&Query::new(filter))?;
    let target: Box<dyn Write> = if to_output {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(&args.target).map_err(|source| CliError::file("write", &args.target, source))?)
    };
    let bar = progress::bar(output, documents.len() as u64, "documents");
    write_all(exporter(BufWriter::new(target), format, &documents)?, &documents, &bar).map_err(
        |error| match error {
            TransferError::Io(source) if to_output => CliError::Output(source),
            other => other.into(),
        },
    )?;
    bar.finish_and_clear();
    if to_output {
        return Ok(());
    }
    let count = documents.len();
    output.result(&json!({ "exported": count, "file": args.target }), || format!("{count} exported"))
}

fn write_all<W: Write>(mut exporter: Exporter<W>, documents: &[Value], bar: &ProgressBar) -> Result<(), TransferError> {
    for document in documents {
        exporter.write(document)?;
        bar.inc(1);
    }
    exporter.finish().map(drop)
}

fn exporter<W: Write>(writer: W, format: Format, documents: &[Value]) -> Result<Exporter<W>, CliError> {
    Ok(match format {
        Format::JsonArray => Exporter::json_array(writer),
        Format::JsonLines => Exporter::json_lines(writer),
        Format::Csv => {
            let mut columns = Columns::new();
            for document in documents {
                columns.add(document)?;
            }
            Exporter::csv(writer, columns)
        }
    })
}
