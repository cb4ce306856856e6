//! Cells as the values of a query and of its answer, in Postgres' binary format.

use crate::backend::cells::Cell;
use std::error::Error;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// 2000-01-01, from which Postgres counts, in Unix milliseconds.
const EPOCH: i64 = 946_684_800_000;

/// The first octet of binary `jsonb`.
const JSONB_VERSION: u8 = 1;

/// JSON text as an element of an array.
#[derive(Debug)]
struct Json<'a>(&'a str);

/// The type of a value. Null is of whatever type its place is.
pub fn type_of(cell: &Cell) -> Type {
    match cell {
        Cell::Null => Type::UNKNOWN,
        Cell::Text(_) => Type::TEXT,
        Cell::Uuid(_) => Type::UUID,
        Cell::Integer(_) => Type::INT8,
        Cell::Real(_) => Type::FLOAT8,
        Cell::Boolean(_) => Type::BOOL,
        Cell::Time(_) | Cell::Expiry(_) => Type::TIMESTAMPTZ,
        Cell::Texts(_) => Type::TEXT_ARRAY,
        Cell::Uuids(_) => Type::UUID_ARRAY,
        Cell::Json(_) => Type::JSONB,
        Cell::Jsons(_) => Type::JSONB_ARRAY,
    }
}

impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Cell::Null => Ok(IsNull::Yes),
            Cell::Text(text) => text.to_sql(ty, out),
            Cell::Uuid(id) => id.to_sql(ty, out),
            Cell::Integer(integer) => integer.to_sql(ty, out),
            Cell::Real(real) => real.to_sql(ty, out),
            Cell::Boolean(flag) => flag.to_sql(ty, out),
            // The nearest millisecond, as Kong has it.
            Cell::Time(seconds) => timestamp((seconds * 1000.0).round() as i64).to_sql(&Type::INT8, out),
            Cell::Expiry(milliseconds) => timestamp(*milliseconds).to_sql(&Type::INT8, out),
            Cell::Texts(texts) => texts.to_sql(ty, out),
            Cell::Uuids(ids) => ids.to_sql(ty, out),
            Cell::Json(text) => Json(text).to_sql(ty, out),
            Cell::Jsons(texts) => texts.iter().map(|text| Json(text)).collect::<Vec<_>>().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl ToSql for Json<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if *ty == Type::JSONB {
            out.extend_from_slice(&[JSONB_VERSION]);
        }
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::JSONB)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Cell, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::UUID => Cell::Uuid(Uuid::from_sql(ty, raw)?),
            Type::INT2 => Cell::Integer(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Cell::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Cell::Integer(i64::from_sql(ty, raw)?),
            Type::FLOAT4 => Cell::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Cell::Real(f64::from_sql(ty, raw)?),
            Type::BOOL => Cell::Boolean(bool::from_sql(ty, raw)?),
            // Tables of plugins may have times without a zone, which is UTC then.
            Type::TIMESTAMPTZ | Type::TIMESTAMP => {
                Cell::Expiry(i64::from_sql(&Type::INT8, raw)?.div_euclid(1000).saturating_add(EPOCH))
            }
            Type::JSON | Type::JSONB => Cell::Json(json(ty, raw)?),
            Type::TEXT_ARRAY => Cell::Texts(Vec::from_sql(ty, raw)?),
            Type::UUID_ARRAY => Cell::Uuids(Vec::from_sql(ty, raw)?),
            Type::JSONB_ARRAY => {
                let texts: Vec<JsonText> = Vec::from_sql(ty, raw)?;
                Cell::Jsons(texts.into_iter().map(|text| text.0).collect())
            }
            _ => Cell::Text(String::from_sql(&Type::TEXT, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Cell, Box<dyn Error + Sync + Send>> {
        Ok(Cell::Null)
    }

    fn accepts(ty: &Type) -> bool {
        !matches!(ty.kind(), Kind::Composite(_) | Kind::Range(_))
    }
}

/// JSON text out of an array.
struct JsonText(String);

impl<'a> FromSql<'a> for JsonText {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<JsonText, Box<dyn Error + Sync + Send>> {
        json(ty, raw).map(JsonText)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::JSONB)
    }
}

fn json(ty: &Type, raw: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let text = match (ty, raw) {
        (&Type::JSONB, [JSONB_VERSION, text @ ..]) => text,
        (&Type::JSONB, _) => return Err("jsonb of an unknown version".into()),
        (_, text) => text,
    };
    Ok(String::from_utf8(text.to_vec())?)
}

/// A time as Postgres has it. What lies before all times is its `-infinity`.
fn timestamp(milliseconds: i64) -> i64 {
    milliseconds.saturating_sub(EPOCH).saturating_mul(1000)
}
