//! libdlm: the build with a thread for the ASTs.

dlm_capi::export_common!(Flavour::Threaded);
dlm_capi::export_threaded!();
