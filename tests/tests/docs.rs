//! Every command on every page runs as printed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use tests::page;

macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                page::follow($path);
            }
        )*
    };
}

pages! {
    docs_readme: "README.md",
    docs_connecting: "docs/connecting.md",
    docs_alerts: "docs/alerts.md",
    docs_dead_letters: "docs/dead-letters.md",
    docs_device_table: "docs/device-table.md",
    docs_encodings: "docs/encodings.md",
    docs_lake: "docs/lake.md",
    docs_operating: "docs/operating.md",
    docs_payloads: "docs/payloads.md",
    docs_quarantine: "docs/quarantine.md",
}

#[test]
fn docs_leave_no_page_out() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for page in fs::read_dir(docs).unwrap() {
        let name = format!("docs/{}", page.unwrap().file_name().to_string_lossy());
        assert!(PAGES.contains(&name.as_str()), "{name} has no test in tests/tests/docs.rs");
    }
}
