//! libdlm_lt: the build without threads.

dlm_capi::export_common!(Flavour::Light);
