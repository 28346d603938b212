//! Elements of HTML.

use reactor_server::program::printable::printable;

/// Escapes text for HTML, between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A paragraph.
pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A list, or nothing if it has no items.
pub(crate) fn list(items: &[String]) -> String {
    let item = |text: &String| format!("<li>{}</li>\n", escape(text));
    match items {
        [] => String::new(),
        items => format!("<ul>\n{}</ul>\n", items.iter().map(item).collect::<String>()),
    }
}

/// A page of this title.
pub(crate) fn document(title: &str, heading: &str, content: &str) -> String {
    let (title, heading) = (escape(title), escape(heading));
    let style = include_str!("page.css");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{heading}</h1>\n{content}</main>\n</body>\n</html>\n"
    )
}

/// The classes of the lines of a chart, in the order of their colours.
const CLASSES: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];

/// A legend: the lines of a chart, in the order of their colours.
pub(crate) fn legend(lines: &[&str]) -> String {
    let item =
        |(class, text): (&str, &&str)| format!("<li class=\"{class}\">{}</li>\n", escape(text));
    let items: String = CLASSES.into_iter().zip(lines).map(item).collect();
    format!("<ul class=\"legend\">\n{items}</ul>\n")
}

/// A table. The first cell of a row is its heading. Cells do not wrap: a table that is wider than
/// the page scrolls.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    table_of("table", head, rows)
}

/// A table whose cells wrap, at spaces that are not [`kept`].
pub(crate) fn wrapping_table(head: &[&str], rows: &[Vec<String>]) -> String {
    table_of("table wrapping", head, rows)
}

/// Text that does not wrap at its spaces.
pub(crate) fn kept(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

fn table_of(class: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
    let head = match head.as_str() {
        "" => head,
        head => format!("<thead><tr>{head}</tr></thead>\n"),
    };
    let rows: String = rows.iter().map(|cells| row(cells)).collect();
    format!("<div class=\"{class}\"><table>\n{head}<tbody>\n{rows}</tbody>\n</table></div>\n")
}

fn row(cells: &[String]) -> String {
    let cell = |(index, text): (usize, &String)| match index {
        0 => format!("<th scope=\"row\">{}</th>", escape(text)),
        _ => format!("<td>{}</td>", escape(text)),
    };
    let cells: String = cells.iter().enumerate().map(cell).collect();
    format!("<tr>{cells}</tr>\n")
}

/// Content that is folded until the reader opens it.
pub(crate) fn details(summary: &str, content: &str) -> String {
    format!("<details>\n<summary>{}</summary>\n{content}</details>\n", escape(summary))
}

/// A chart, with a description for readers who cannot see it.
pub(crate) fn figure(svg: &str, label: &str) -> String {
    let open = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(label));
    format!("<figure>\n{}</figure>\n", svg.replacen("<svg ", &open, 1))
}

/// A section of a page. Its id is its title in lower case.
pub(crate) fn section(title: &str, content: &str) -> String {
    let id = title.to_lowercase().replace(' ', "-");
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{content}</section>\n")
}
