//! Values on the wire: given ones as text, which the server reads as whatever it needs; those of rows by their types.

use crate::sql::Given;
use crate::value::Cell;
use bytes::BytesMut;
use std::error::Error;
use std::fmt::Write;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};
use uuid::Uuid;

type Trouble = Box<dyn Error + Sync + Send>;

/// Whether values of a type are read here; others are asked for as texts.
pub(super) fn is_read(kind: &Type) -> bool {
    matches!(
        *kind,
        Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::JSON
            | Type::JSONB
            | Type::UUID
            | Type::BYTEA
            | Type::VOID
    )
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Cell, Trouble> {
        Ok(match *kind {
            Type::BOOL => Cell::Integer(bool::from_sql(kind, raw)?.into()),
            Type::INT2 => Cell::Integer(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => Cell::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Cell::Integer(i64::from_sql(kind, raw)?),
            Type::OID => Cell::Integer(u32::from_sql(kind, raw)?.into()),
            // As it is spelled, not with the digits that a longer number would have.
            Type::FLOAT4 => real(f32::from_sql(kind, raw)?.to_string().parse()?),
            Type::FLOAT8 => real(f64::from_sql(kind, raw)?),
            Type::BYTEA => Cell::Blob(raw.to_vec()),
            Type::UUID => Cell::Text(Uuid::from_slice(raw)?.to_string()),
            Type::VOID => Cell::Null,
            Type::JSONB => text(raw.get(1..).unwrap_or_default()),
            _ => text(raw),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Cell, Trouble> {
        Ok(Cell::Null)
    }

    fn accepts(kind: &Type) -> bool {
        is_read(kind)
    }
}

/// No number equals itself as `NaN`; as a text it does.
fn real(number: f64) -> Cell {
    if number.is_nan() { Cell::Text("NaN".into()) } else { Cell::Real(number) }
}

fn text(raw: &[u8]) -> Cell {
    std::str::from_utf8(raw).map_or(Cell::Garbled, |text| Cell::Text(text.to_owned()))
}

/// A value as the input function of its type reads it. NULL has no spelling.
pub(super) fn spell(value: Given<'_>, out: &mut impl Write) -> std::fmt::Result {
    match value {
        Given::Null => Ok(()),
        Given::Integer(number) => write!(out, "{number}"),
        Given::Real(number) if number.is_infinite() => {
            out.write_str(if number > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Given::Real(number) => write!(out, "{number:e}"),
        Given::Text(text) => out.write_str(text),
        Given::Blob(bytes) => {
            out.write_str("\\x")?;
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
    }
}

impl ToSql for Given<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Trouble> {
        if matches!(self, Given::Null) {
            return Ok(IsNull::Yes);
        }
        spell(*self, out)?;
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}
