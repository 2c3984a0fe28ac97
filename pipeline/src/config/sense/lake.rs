//! Whether there can be a lake where a topology says.

use std::path::Path;

use super::{Finding, no_directory};
use crate::{config::StoreConfig, lake::LakeAddress};

/// Where the lake is, if the topology says it; paths are relative to `folder`.
pub(in crate::config) fn address(store: &StoreConfig, folder: &Path) -> Result<Option<LakeAddress>, Finding> {
    let lake = |text| Finding::of_value("/store/lake", text);
    let endpoint = |text| Finding::of_value("/store/lake_endpoint", text);
    let address = store.lake.as_deref().map(|text| LakeAddress::parse(text, folder)).transpose();
    match (address.map_err(lake)?, &store.lake_endpoint) {
        (Some(address), Some(url)) => Ok(Some(address.at_endpoint(url).map_err(endpoint)?)),
        (None, Some(_)) => {
            Err(endpoint("is for lakes in an object store; name one by store.lake".to_owned()))
        }
        (address, None) => Ok(address),
    }
}

pub(super) fn mistake(store: &StoreConfig, folder: &Path) -> Option<Finding> {
    let text = match address(store, folder) {
        Err(finding) => return Some(finding),
        Ok(None) => None,
        Ok(Some(LakeAddress::Directory(path))) => no_directory(&path),
        #[cfg(feature = "object-store")]
        Ok(Some(LakeAddress::Bucket(_))) => None,
        #[cfg(not(feature = "object-store"))]
        Ok(Some(LakeAddress::Bucket(_))) => Some(crate::lake::WITHOUT_OBJECTS.to_owned()),
    };
    text.map(|text| Finding::of_value("/store/lake", text))
}
