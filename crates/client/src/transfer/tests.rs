//! What is exported comes back; what is broken is named.

use super::*;
use crate::filter::arbitrary;
use proptest::prelude::*;
use serde_json::json;
use syncline_core::mutation::damaged;

const FORMATS: [Format; 3] = [Format::JsonArray, Format::JsonLines, Format::Csv];

fn exported(documents: &[Value], format: Format) -> Vec<u8> {
    let mut exporter = match format {
        Format::JsonArray => Exporter::json_array(Vec::new()),
        Format::JsonLines => Exporter::json_lines(Vec::new()),
        Format::Csv => {
            let mut columns = Columns::new();
            documents.iter().for_each(|document| columns.add(document).unwrap());
            Exporter::csv(Vec::new(), columns)
        }
    };
    documents.iter().for_each(|document| exporter.write(document).unwrap());
    exporter.finish().unwrap()
}

fn imported(bytes: &[u8], format: Format) -> Vec<Value> {
    Import::new(bytes, format).map(|document| document.unwrap()).collect()
}

/// The documents before the first error, and its message. Nothing may come after it.
fn broken(bytes: impl AsRef<[u8]>, format: Format) -> (usize, String) {
    let mut import = Import::new(bytes.as_ref(), format);
    let mut documents = 0;
    loop {
        match import.next().expect("an error before the end") {
            Ok(_) => documents += 1,
            Err(error) => {
                assert!(import.next().is_none());
                return (documents, error.to_string());
            }
        }
    }
}

#[test]
fn formats_are_readable_by_people() {
    let documents = [json!({"_id": "1", "a": {"b": [1], "c.d": "x,y"}}), json!({"_id": "2", "n": "7", "e": ""})];
    let text = |format| String::from_utf8(exported(&documents, format)).unwrap();
    assert_eq!(
        text(Format::JsonArray),
        "[\n{\"_id\":\"1\",\"a\":{\"b\":[1],\"c.d\":\"x,y\"}},\n{\"_id\":\"2\",\"n\":\"7\",\"e\":\"\"}\n]\n"
    );
    assert_eq!(
        text(Format::JsonLines),
        "{\"_id\":\"1\",\"a\":{\"b\":[1],\"c.d\":\"x,y\"}}\n{\"_id\":\"2\",\"n\":\"7\",\"e\":\"\"}\n"
    );
    assert_eq!(
        text(Format::Csv),
        "_id,a.b,a.c\\.d,n,e\n\"\"\"1\"\"\",[1],\"x,y\",,\n\"\"\"2\"\"\",,,\"\"\"7\"\"\",\"\"\"\"\"\"\n"
    );
}

#[test]
fn exports_without_documents_are_valid() {
    for format in FORMATS {
        assert_eq!(imported(&exported(&[], format), format), Vec::<Value>::new());
    }
    assert_eq!(exported(&[], Format::Csv), b"_id\n");
}

#[test]
fn awkward_documents_come_back() {
    let documents = [
        json!({}),
        json!({"_id": "x", "": {"": 1, "a": 2}, "a": {"": {}}, "b\\.c": 1, "d\\": {"e.": 5}}),
        json!({"s": ["", " 7", "7 ", "007", "+1", "true", "nul", "[draft] x", "{", "\"", "é\r\n\"", "-", "-0", "1e999"]}),
        json!({"a": "[1", "b": "[1]", "c": " ", "d": "\"q\"", "e": "123456789012345678901234567890", "f": "a,b", "g": "\u{feff}"}),
        json!({"n": 18446744073709551615u64, "i": i64::MIN, "f": -0.0, "g": 1e300, "h": 1.0, "k": 1e22}),
    ];
    for format in FORMATS {
        assert_eq!(imported(&exported(&documents, format), format), documents, "{format:?}");
    }
    for text in documents[2]["s"].as_array().unwrap() {
        let alone = [json!({ "_id": text })];
        assert_eq!(imported(&exported(&alone, Format::Csv), Format::Csv), alone);
    }
}

#[test]
fn foreign_csv_is_typed() {
    let csv = "\u{feff}_id,n,t,address.city,address.zip\r\n1,-1.5e3,[note] x,Oslo,007\r\n\r\n2,true,null,,123456789012345678901\r\n";
    assert_eq!(
        imported(csv.as_bytes(), Format::Csv),
        vec![
            json!({"_id": 1, "n": -1500.0, "t": "[note] x", "address": {"city": "Oslo", "zip": "007"}}),
            json!({"_id": 2, "n": true, "t": null, "address": {"zip": "123456789012345678901"}}),
        ]
    );
}

#[test]
fn json_arrays_may_be_spaced_and_nested_in_any_way() {
    let text = "\u{feff}\n [ {\"a\": [{}, \"}]\\\"\"]}\n,\t{} ] \n";
    assert_eq!(imported(text.as_bytes(), Format::JsonArray), vec![json!({"a": [{}, "}]\""]}), json!({})]);
    assert_eq!(imported(b"[]", Format::JsonArray), Vec::<Value>::new());
}

/// Gives out one byte at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let few = buffer.len().min(1);
        self.0.read(&mut buffer[..few])
    }
}

#[test]
fn slow_readers_give_the_same_documents() {
    let documents = [json!({"_id": "é", "a": ["\"]", {"b": "\n"}]}), json!({"_id": "2"})];
    for format in FORMATS {
        let bytes = exported(&documents, format);
        let read: Vec<Value> = Import::new(Dripping(&bytes), format).map(|document| document.unwrap()).collect();
        assert_eq!(read, documents, "{format:?}");
    }
}

#[test]
fn broken_json_arrays_name_the_record_and_the_reason() {
    let broken = |text: &str| broken(text, Format::JsonArray);
    assert_eq!(broken("[{},\n5]"), (1, "record 2 (line 2): is no JSON object, so it is no document".into()));
    assert_eq!(broken("[{}\n,{\"a\":}]").0, 1);
    assert!(broken("[{}\n,{\"a\":}]").1.starts_with("record 2 (line 2): is not valid JSON: expected value"));
    assert!(broken("[{\"a\": 1]}]").1.contains("record 1 (line 1): is not valid JSON"));
    assert!(broken("[{},\n{\"a\": \"").1.contains("record 2 (line 2): the file ends inside this document"));
    assert!(broken("[{}\n").1.contains("line 2, after 1 document: the file ends before the end of the array"));
    assert!(broken("[").1.contains("ends before the end of the array"));
    assert!(broken("[{},]").1.contains("a comma too many"));
    assert!(broken("[{} {}]").1.contains("expected a comma"));
    assert!(broken("[{}] x").1.contains("something follows"));
    assert!(broken("{}").1.contains("not a JSON array"));
    assert!(broken("").1.contains("not a JSON array"));
}

#[test]
fn broken_json_lines_name_the_record_and_the_line() {
    let (documents, message) = broken("{}\n\n{\"a\"\n{}\n", Format::JsonLines);
    assert_eq!(documents, 1);
    assert!(message.starts_with("record 2 (line 3): is not valid JSON"), "{message}");
    assert!(broken("[]\n", Format::JsonLines).1.contains("is no JSON object"));
    assert!(broken(b"{\"a\": \"\xFF\"}\n", Format::JsonLines).1.contains("record 1 (line 1): is not valid JSON"));
}

#[test]
fn broken_csv_names_the_record_the_line_and_the_column() {
    let broken = |text: &[u8]| broken(text, Format::Csv);
    assert_eq!(
        broken(b"a,b\n\"1\n2\",2\n3\n"),
        (1, "record 2 (line 4): has 1 cells, but the header names 2 columns".into())
    );
    assert!(broken(b"a,b\n1,\xFF\n").1.contains("record 1 (line 2): column `b` is not UTF-8"));
    assert!(broken(b"a,a.b\n1,2\n").1.contains("column `a.b` and another both give a value"));
    assert!(broken(b"a.b,a\n1,2\n").1.contains("column `a` and another both give a value"));
    assert!(broken(b"a,b,a\n").1.contains("the header of the CSV file: names `a` twice"));
    assert!(broken(b"").1.contains("the header of the CSV file: is missing"));
    assert!(broken(b"a,\xFF\n").1.contains("column 2 is not UTF-8"));
    let deep = vec!["a"; 65].join(".");
    assert!(broken(deep.as_bytes()).1.contains("column 1 nests more than 64 levels deep"));
}

#[test]
fn lines_of_csv_are_counted_as_an_editor_counts_them() {
    for end in ["\n", "\r\n"] {
        for mark in ["", "\u{feff}"] {
            // Line 1 is blank; the header's second cell ends in line 3, the last row stands in line 9.
            let rows = ["", "a,\"b", "\"", "\"1", "2\",2", "3,\"\"\"\"", "", "", "4"];
            let text = mark.to_owned() + &rows.join(end);
            let (read, message) = broken(text.as_bytes(), Format::Csv);
            assert_eq!((read, message.split(':').next().unwrap()), (2, "record 3 (line 9)"), "{text:?}");
        }
    }
    assert!(broken("é\r\n1,2\r\n".as_bytes(), Format::Csv).1.starts_with("record 1 (line 2)"));
    let message = Import::new(Dripping(b"a\r\n\r\n1,2\r\n"), Format::Csv).find_map(Result::err).unwrap().to_string();
    assert!(message.starts_with("record 1 (line 3)"), "{message}");
    let many: String = (0..20_000).map(|n| format!("{n},\"\r\n\"\r\n")).collect();
    let message = broken(format!("a,b\r\n{many}x\r\n").as_bytes(), Format::Csv).1;
    assert!(message.starts_with("record 20001 (line 40002)"), "{message}");
}

#[test]
fn endless_records_are_cut_off() {
    let endless = |start: &'static [u8]| start.chain(std::io::repeat(b'x'));
    let message = |start, format| Import::new(endless(start), format).next().unwrap().unwrap_err().to_string();
    assert!(message(b"[{\"a\": \"", Format::JsonArray).contains("record 1 (line 1): has more than 16777216 bytes"));
    assert!(message(b"{\"a\": \"", Format::JsonLines).contains("record 1 (line 1): has more than 16777216 bytes"));
    assert!(message(b"a\n\"", Format::Csv).contains("record 1 (line 2): does not end within 64 MiB"));
    assert!(message(b"", Format::Csv).contains("the header of the CSV file: does not end within 64 MiB"));
}

#[test]
fn exports_refuse_what_they_cannot_hold() {
    assert!(matches!(
        Exporter::json_lines(Vec::new()).write(&json!(1)),
        Err(TransferError::NotADocument { record: 1 })
    ));
    let unknown = Exporter::csv(Vec::new(), Columns::new()).write(&json!({"a": 1})).unwrap_err().to_string();
    assert!(unknown.starts_with("document 1 has the field `a`"), "{unknown}");
    let wide: Value = (0..COLUMNS_MAX).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    assert!(matches!(Columns::new().add(&wide), Err(TransferError::TooManyColumns)));
}

#[test]
fn extensions_name_formats() {
    assert_eq!(Format::from_extension("JSON"), Some(Format::JsonArray));
    assert_eq!(Format::from_extension("ndjson"), Some(Format::JsonLines));
    assert_eq!(Format::from_extension("csv"), Some(Format::Csv));
    assert_eq!(Format::from_extension("xlsx"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn documents_come_back(documents in prop::collection::vec(arbitrary::document(), 0..6)) {
        for format in FORMATS {
            prop_assert_eq!(&imported(&exported(&documents, format), format), &documents, "{:?}", format);
        }
    }

    #[test]
    fn imports_never_panic(text in "[\\[\\]{}\",:a0\\\\\n. -]{0,40}") {
        for format in FORMATS {
            let import = Import::new(text.as_bytes(), format);
            let errors = import.skip_while(Result::is_ok).count();
            prop_assert!(errors <= 1);
        }
    }

    #[test]
    fn a_damaged_file_gives_documents_and_at_most_one_error(text in damaged(files())) {
        for format in FORMATS {
            let (mut bytes, mut errors) = (0, 0);
            for document in Import::new(&text[..], format) {
                prop_assert_eq!(errors, 0, "nothing comes after an error");
                match document {
                    Ok(document) => bytes += document.to_string().len(),
                    Err(error) => {
                        prop_assert!(!error.to_string().is_empty());
                        errors += 1;
                    }
                }
            }
            // Each row of a CSV file spells out the names of its header.
            prop_assert!(bytes <= 1_000 + text.len() * (text.len() + 16), "{} bytes became {}", text.len(), bytes);
        }
    }
}

fn files() -> Vec<Vec<u8>> {
    let documents = [
        json!({"_id": "1", "title": "a, \"b\"\nc", "n": 1.5, "address": {"city": "X", "list": [1, {"a": null}]}}),
        json!({"_id": "2", "title": "", "n": -1, "tags": ["x", "y"], "a.b": true}),
    ];
    FORMATS.map(|format| exported(&documents, format)).into()
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_that_names_its_line() {
    let broken = |text: &str| broken(text, Format::Csv);
    let unclosed = |line| format!("the quote that opens a cell in line {line} is never closed");
    assert_eq!(broken("\"_id,t\n1,a\n2,b\n"), (0, format!("the header of the CSV file: {}", unclosed(1))));
    assert_eq!(broken("_id,t\n1,a\n2,\"b\n3,c\n"), (1, format!("record 2 (line 3): {}", unclosed(3))));
    assert!(broken("_id,t\r\n1,\"a\r\n\"\"b\"\"").1.ends_with(&unclosed(2)));
    let fine = "_id,t,u\n1,\"a\n\"\"b\"\"\",c\"d\n2,,\"\"";
    let read: Result<Vec<_>, _> = Import::new(fine.as_bytes(), Format::Csv).collect();
    assert_eq!(read.unwrap().len(), 2);
}
