//! What an emitter of another back end asks for, whatever its format.

/// An event for pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Emission {
    /// Its name.
    pub event: String,
    /// Its arguments; bytes among them go as bytes.
    pub args: Vec<rmpv::Value>,
    /// Who is told; empty: everybody.
    pub rooms: Vec<String>,
    /// But not who is in one of these.
    pub except: Vec<String>,
}
