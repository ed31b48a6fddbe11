//! temp
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
pub(crate) fn to_payload<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|e| Error::value(e.to_string()))
}
pub(crate) fn from_payload<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    rmp_serde::from_slice(payload).map_err(|e| Error::value(e.to_string()))
}
