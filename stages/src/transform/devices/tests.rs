use super::*;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let mistakes = DeviceTable::read(text).unwrap_err();
    let shown: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected, "of {text:?}");
}

fn cell<'a>(table: &'a DeviceTable, device: &str, column: &str) -> Option<&'a str> {
    let number = table.columns().position(|name| name == column)?;
    table.row(device)?.get(number)
}

#[test]
fn cells_are_found_by_device_and_column() {
    let text = "\u{feff}site , device_id,note\r\nhall, pump-1 ,\"a, b \"\"c\"\"\"\r\n\r\nroof,pump-2,\r\n";
    let table = DeviceTable::read(text).unwrap();
    assert_eq!(table.columns().collect::<Vec<_>>(), ["site", "device_id", "note"]);
    assert_eq!(table.rows.len(), 2);
    assert_eq!(cell(&table, "pump-1", "site"), Some("hall"));
    assert_eq!(cell(&table, "pump-1", "note"), Some("a, b \"c\""));
    assert_eq!(cell(&table, "pump-2", "note"), Some(""));
    assert_eq!(cell(&table, "pump-3", "site"), None);
    assert_eq!(DeviceTable::read("device_id").unwrap().rows.len(), 0);
}

#[test]
fn every_mistake_has_its_line_and_column() {
    check(
        "",
        &[
            "1: device_id: no column has this name, but \"\"; the first line names the columns, with commas between them",
        ],
    );
    check(
        "device_id;site\na;b\n",
        &[
            "1: device_id: no column has this name, but \"device_id;site\"; the first line names the columns, with commas between them",
        ],
    );
    check(
        "device_id,site,,site\n",
        &[
            "1: column 3 has no name; the first line names each column",
            "1: site: two columns have this name; give one another",
        ],
    );
    check(
        "device_id,site\na,x\n\nb,x,y\nc\n,x\na,z\nd,\"two\nlines\"\nd,x\n",
        &[
            "4: the row has 3 cells, the first line 2; put text with a comma in it into quotes",
            "5: site: the row has 1 cells, the first line 2; put text with a comma in it into quotes",
            "6: device_id: the row names no device",
            "7: device_id: \"a\" has a row on line 2 already; a device has one",
            "10: device_id: \"d\" has a row on line 8 already; a device has one",
        ],
    );
}

#[test]
fn lines_are_counted_as_editors_do() {
    check(
        "\u{feff}device_id,site\r\na,x\r\n\r\n\r\na,y\r\n",
        &["5: device_id: \"a\" has a row on line 2 already; a device has one"],
    );
}

#[test]
fn mistakes_are_bounded() {
    let text = "device_id,site\n".to_owned() + &"a\n".repeat(100);
    assert_eq!(DeviceTable::read(&text).unwrap_err().len(), MISTAKES_MAX);
}

#[test]
fn the_hash_follows_the_text() {
    let hash = |text: &str| DeviceTable::read(text).unwrap().hash();
    assert_eq!(hash("device_id,a\nx,1\n"), hash("device_id,a\nx,1\n"));
    assert_ne!(hash("device_id,a\nx,1\n"), hash("device_id,a\nx,2\n"));
}
