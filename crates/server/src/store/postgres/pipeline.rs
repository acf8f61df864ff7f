//! Statements that are sent one behind the other without waiting, each with its types named, so that none needs a
//! prepared one: nothing is kept in a session that a failover or a pooler in between could take away.

use futures_util::future::{BoxFuture, FutureExt, ready};
use std::borrow::Cow;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, RowStream};

/// A value with the type that the statement takes.
pub(in crate::store) type Param<'a> = (Box<dyn ToSql + Sync + Send + 'a>, Type);

pub(in crate::store) fn text(value: &str) -> Param<'_> {
    (Box::new(value), Type::TEXT)
}

pub(super) fn maybe_text(value: Option<&str>) -> Param<'_> {
    (Box::new(value), Type::TEXT)
}

pub(super) fn long<'a>(value: i64) -> Param<'a> {
    (Box::new(value), Type::INT8)
}

pub(super) fn bytes(value: &[u8]) -> Param<'_> {
    (Box::new(value), Type::BYTEA)
}

pub(super) fn texts<'a, T: ToSql + Sync + Send + 'a>(values: impl IntoIterator<Item = T>) -> Param<'a> {
    (Box::new(values.into_iter().collect::<Vec<_>>()), Type::TEXT_ARRAY)
}

pub(super) fn longs<'a, T: ToSql + Sync + Send + 'a>(values: impl IntoIterator<Item = T>) -> Param<'a> {
    (Box::new(values.into_iter().collect::<Vec<_>>()), Type::INT8_ARRAY)
}

pub(super) fn bools<'a>(values: impl IntoIterator<Item = bool>) -> Param<'a> {
    (Box::new(values.into_iter().collect::<Vec<_>>()), Type::BOOL_ARRAY)
}

pub(super) fn blobs<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Param<'a> {
    (Box::new(values.into_iter().collect::<Vec<_>>()), Type::BYTEA_ARRAY)
}

/// A scan walks along the log by its key, and ends where the page is full. Left to itself the planner sorts all that is
/// ahead for each page, or goes through all superseded positions for each row, as long as it takes a table that has grown
/// for a small one. What it then has left to guess is not worth compiling.
pub(super) const BY_KEY: &str = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; \
                                 SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// What is under way on one connection. Answers come in the order of sending.
pub(in crate::store) struct Pipeline<'a> {
    client: &'a Client,
    answers: Vec<BoxFuture<'a, Result<Vec<Row>, Error>>>,
    /// Something could not be sent, so nothing behind it may be: a COMMIT would commit what is left.
    cut: bool,
}

impl<'a> Pipeline<'a> {
    pub fn new(client: &'a Client) -> Pipeline<'a> {
        Pipeline { client, answers: Vec::new(), cut: false }
    }

    /// Sends a statement and tells the place of its answer.
    pub fn send(&mut self, sql: impl Into<Cow<'static, str>>, params: Vec<Param<'a>>) -> usize {
        let (client, sql) = (self.client, sql.into());
        let answer = async move { client.query_typed(&sql, &borrowed(&params)).await };
        self.enqueue(answer.boxed())
    }

    /// Sends words that take no values, such as those around a transaction.
    pub fn say(&mut self, sql: impl Into<Cow<'static, str>>) -> usize {
        let (client, sql) = (self.client, sql.into());
        let answer = async move { client.batch_execute(&sql).await.map(|()| Vec::new()) };
        self.enqueue(answer.boxed())
    }

    /// The first look sends; the answer is waited for later. What cannot even be sent is answered at once.
    fn enqueue(&mut self, mut answer: BoxFuture<'a, Result<Vec<Row>, Error>>) -> usize {
        if !self.cut {
            let at_once = (&mut answer).now_or_never();
            self.cut = matches!(at_once, Some(Err(_)));
            self.answers.push(at_once.map_or(answer, |done| ready(done).boxed()));
        }
        self.answers.len() - 1
    }

    /// Whether everything was sent.
    pub fn is_whole(&self) -> bool {
        !self.cut
    }

    /// All answers, or the first that is an error.
    pub async fn answers(self) -> Result<Answers, Error> {
        let mut rows = Vec::with_capacity(self.answers.len());
        for answer in self.answers {
            rows.push(answer.await?);
        }
        Ok(Answers(rows))
    }
}

/// The rows of each statement.
pub(in crate::store) struct Answers(Vec<Vec<Row>>);

impl Answers {
    /// Of the statement at a place; none where it was not sent.
    pub fn take(&mut self, place: Option<usize>) -> Vec<Row> {
        place.and_then(|place| self.0.get_mut(place)).map(std::mem::take).unwrap_or_default()
    }
}

/// A statement whose rows are taken one by one.
pub(in crate::store) async fn stream(client: &Client, sql: &str, params: &[Param<'_>]) -> Result<RowStream, Error> {
    client.query_typed_raw(sql, borrowed(params)).await
}

fn borrowed<'p>(params: &'p [Param<'_>]) -> Vec<(&'p (dyn ToSql + Sync), Type)> {
    params.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
}
