//! A fresh device and a full hub.
