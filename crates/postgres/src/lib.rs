//! Where a PostgreSQL database is and whom to believe there: URLs, passwords that are never shown, TLS. Opens no connection.

mod address;
mod error;
mod tls;

pub use address::Url;
pub use error::UrlError;
pub use tls::Connector;
