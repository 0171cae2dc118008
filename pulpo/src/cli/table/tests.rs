use super::*;

const COLUMNS: [Column; 5] = [
    Column::new("ID"),
    Column::new("PRIORITY").short("PRIO").spare(1),
    Column::new("QUEUE").spare(2),
    Column::new("NOTHING"),
    Column::new("LAST ERROR").short("ERROR").prose(),
];

const ERROR: &str = "mail server 127.0.0.1:2525: Connection refused (os error 111)";

fn drawn(width: Option<usize>) -> String {
    let mut table = Table { columns: COLUMNS.to_vec(), rows: Vec::new(), width, coloured: false };
    table.row(["7", "65536", "mail", "", ERROR].map(Cell::from));
    table.row(["12", "0", "注文", "", ""].map(Cell::from));
    table.to_string()
}

#[test]
fn a_row_is_a_line_where_no_terminal_is() {
    let expected = format!(
        " ID  PRIORITY  QUEUE  NOTHING  LAST ERROR\n 7   65536     mail            {ERROR}\n 12  0         注文\n"
    );
    assert_eq!(drawn(None), expected);
    assert_eq!(drawn(Some(200)), expected);
}

#[test]
fn heads_shrink_first_and_columns_without_a_text_go_first() {
    let shrunk = drawn(Some(90));
    assert!(shrunk.starts_with(" ID  PRIO   QUEUE  NOTHING  ERROR\n"), "{shrunk}");
    assert!(shrunk.contains(ERROR), "{shrunk}");
    let without = drawn(Some(50));
    assert!(without.starts_with(" ID  PRIO   QUEUE  ERROR\n"), "{without}");
    assert!(!without.contains("not shown"), "nothing is missing: {without}");
}

#[test]
fn prose_is_wrapped_and_then_columns_are_spared() {
    let narrow = drawn(Some(30));
    let expected = " ID  ERROR
 7   mail server
     127.0.0.1:2525:
     Connection refused (os…
 12
not shown on a terminal of
this width: PRIORITY, QUEUE
";
    assert_eq!(narrow, expected);
}

#[test]
fn a_table_that_cannot_be_narrower_has_a_line_for_each_cell() {
    let expected = " ID          7
 PRIORITY    65536
 QUEUE       mail
 LAST ERROR
   mail server
   127.0.0.1:2525:
   Connection…

 ID          12
 PRIORITY    0
 QUEUE       注文
";
    assert_eq!(drawn(Some(20)), expected);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_word_is_broken() {
    for room in 20..120 {
        let text = drawn(Some(room));
        for line in text.lines() {
            assert!(width(line) <= room, "{room}: {line}");
        }
        let words: Vec<_> = text.split_whitespace().map(|word| word.trim_end_matches('…')).collect();
        for word in ["127.0.0.1:2525:", "Connection"] {
            assert!(words.contains(&word), "{room}: {text}");
        }
    }
}

#[test]
fn wide_characters_stand_under_their_head() {
    let columns = ["A", "B"].map(Column::new).to_vec();
    let mut table = Table { columns, rows: Vec::new(), width: Some(80), coloured: true };
    table.row([Cell::new("注文", Tone::Bad), "x".into()]);
    table.row([Cell::new("👩\u{200d}🔬", Tone::Plain), "y".into()]);
    let expected = " \u{1b}[1mA\u{1b}[0m     \u{1b}[1mB\u{1b}[0m\n \u{1b}[31m注文\u{1b}[0m  x\n 👩\u{200d}🔬    y\n";
    assert_eq!(table.to_string(), expected);
}

#[test]
fn a_table_without_rows_is_its_head() {
    let table = Table { columns: COLUMNS.to_vec(), rows: Vec::new(), width: Some(20), coloured: false };
    assert!(table.to_string().starts_with(" ID"), "{table}");
}
