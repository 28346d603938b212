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

/// A legend: the lines of a chart, in the order of their colours.
pub(crate) fn legend(lines: &[&str]) -> String {
    let item =
        |(class, text): (&str, &&str)| format!("<li class=\"{class}\">{}</li>\n", escape(text));
    let items: String = ["first", "second", "third"].into_iter().zip(lines).map(item).collect();
    format!("<ul class=\"legend\">\n{items}</ul>\n")
}

/// A table. The first cell of a row is its heading.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
    let head = match head.as_str() {
        "" => head,
        head => format!("<thead><tr>{head}</tr></thead>\n"),
    };
    let rows: String = rows.iter().map(|cells| row(cells)).collect();
    format!("<div class=\"table\"><table>\n{head}<tbody>\n{rows}</tbody>\n</table></div>\n")
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
