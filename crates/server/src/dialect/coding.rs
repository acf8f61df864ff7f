//! What a request body is packed in. Unpacks as the bytes come, so that limits hold for what comes out.

use crate::error::ServerError;
use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use bytes::Bytes;
use futures_util::future::Either;
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::io;
use std::pin::Pin;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

/// Bytes that come out at once.
const PIECE_BYTES: usize = 64 << 10;
/// The largest window that HTTP allows a zstd sender: more would only cost memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A content coding that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    None,
    /// One or several gzip members, one after the other.
    Gzip,
    /// One or several frames.
    Zstd,
}

impl Coding {
    /// The coding that the headers name. Names have no case, and gzip an old second one.
    ///
    /// # Errors
    /// [`ServerError::Encoding`] for others, and for several.
    pub fn of(headers: &HeaderMap) -> Result<Coding, ServerError> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        let Some(first) = named.next() else { return Ok(Coding::None) };
        let name = String::from_utf8_lossy(first.as_bytes()).trim().to_ascii_lowercase();
        match (name.as_str(), named.next()) {
            ("" | "identity", None) => Ok(Coding::None),
            ("gzip" | "x-gzip", None) => Ok(Coding::Gzip),
            ("zstd", None) => Ok(Coding::Zstd),
            _ => Err(ServerError::Encoding(name)),
        }
    }

    /// The bytes that were meant. Ends with an error when the body is cut or not packed this way.
    pub fn unpack(self, body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
        let packed = body.into_data_stream().map_err(io::Error::other);
        let reader = match self {
            Coding::None => return Either::Left(packed),
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(StreamReader::new(packed));
                decoder.multiple_members(true);
                Box::pin(decoder) as Pin<Box<dyn AsyncRead + Send>>
            }
            Coding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
                let mut decoder = ZstdDecoder::with_params(StreamReader::new(packed), &window);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        };
        Either::Right(ReaderStream::with_capacity(reader, PIECE_BYTES).boxed())
    }
}
