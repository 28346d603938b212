//! HTTP/1.1 as far as the admin server speaks it: GET and HEAD, without bodies.

use chrono::Utc;

/// More header lines than any client or proxy sends.
const MOST_HEADERS: usize = 64;

/// A request, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Without the query.
    pub(super) path: String,
    pub(super) is_head: bool,
    /// Whether the client goes on to use the connection.
    pub(super) keeps_alive: bool,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    status: &'static str,
    content_type: &'static str,
    body: String,
    /// A header line that some answers have, with its line break.
    extra: &'static str,
}

impl Request {
    /// Parses the head of a request, without the blank line at its end.
    ///
    /// # Errors
    /// The response to a request that is not understood. The connection then ends: where the
    /// next request begins is not known.
    pub(super) fn parse(head: &[u8]) -> Result<Request, Response> {
        let whole = [head, b"\r\n\r\n"].concat();
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&whole) {
            Ok(httparse::Status::Complete(length)) if length == whole.len() => {}
            Ok(_) => return Err(bad("the request has an empty line in front")),
            Err(error) => return Err(bad(&error.to_string())),
        }
        let lines = |name: &'static str| {
            request.headers.iter().filter(move |it| it.name.eq_ignore_ascii_case(name))
        };
        let values = |name| {
            let values = lines(name).map(|it| String::from_utf8_lossy(it.value));
            values.collect::<Vec<_>>().join(",")
        };
        let is_modern = request.version == Some(1);
        let hosts = lines("host").count();
        if hosts > 1 || is_modern && hosts == 0 {
            return Err(bad("there must be one Host"));
        }
        let length = values("content-length");
        if !length.split(',').all(|it| it.trim().bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(bad("Content-Length is no number"));
        }
        if !matches!(length.trim(), "" | "0") || !values("transfer-encoding").is_empty() {
            return Err(Response::text("413 Content Too Large", "a request here has no body\n"));
        }
        let is_head = match request.method {
            Some("GET") => false,
            Some("HEAD") => true,
            _ => return Err(Response::not_allowed()),
        };
        let connection = values("connection").to_ascii_lowercase();
        let asks = |option: &str| connection.split(',').any(|it| it.trim() == option);
        Ok(Request {
            path: path(request.path.unwrap_or_default()),
            is_head,
            keeps_alive: is_modern && !asks("close"),
        })
    }
}

/// The path of a target, which may name the server in front of it and has a query behind it.
fn path(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    path.to_owned()
}

impl Response {
    pub(super) fn text(status: &'static str, body: &str) -> Response {
        let content_type = "text/plain; charset=utf-8";
        Response { status, content_type, body: body.to_owned(), extra: "" }
    }

    /// Metrics in the text format of Prometheus.
    pub(super) fn metrics(body: String) -> Response {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Response { status: "200 OK", content_type, body, extra: "" }
    }

    pub(super) fn page(body: &str) -> Response {
        let content_type = "text/html; charset=utf-8";
        Response {
            status: "200 OK",
            content_type,
            body: body.to_owned(),
            extra: "X-Frame-Options: DENY\r\n",
        }
    }

    fn not_allowed() -> Response {
        let response = Response::text("405 Method Not Allowed", "only GET and HEAD\n");
        Response { extra: "Allow: GET, HEAD\r\n", ..response }
    }

    /// The bytes of the response.
    pub(super) fn encode(&self, is_head: bool, keeps_alive: bool) -> Vec<u8> {
        let Response { status, content_type, body, extra } = self;
        let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let connection = if keeps_alive { "" } else { "Connection: close\r\n" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n{extra}{connection}\r\n"
        );
        let body = if is_head { "" } else { body };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

fn bad(why: &str) -> Response {
    Response::text("400 Bad Request", &format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(head: &str) -> Result<Request, &'static str> {
        Request::parse(head.as_bytes()).map_err(|response| &response.status[..3])
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_its_options_say() {
        let keeps = |head: &str| parse(head).expect("a request").keeps_alive;
        assert!(keeps("GET / HTTP/1.1\r\nHost: a"));
        assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close"));
        assert!(!keeps("GET / HTTP/1.0"));
        assert!(!keeps("GET / HTTP/1.0\r\nConnection: keep-alive"));
    }

    #[test]
    fn a_path_has_neither_server_nor_query() {
        let of = |target: &str| parse(&format!("HEAD {target} HTTP/1.1\r\nHost: a")).unwrap().path;
        assert_eq!(of("/metrics?name[]=a"), "/metrics");
        assert_eq!(of("http://a:9100/livez"), "/livez");
        assert_eq!(of("http://a:9100"), "/");
        assert_eq!(of("http://a:9100?b=/livez"), "/");
        assert_eq!(of("/a://b/livez"), "/a://b/livez");
        assert_eq!(of("/metrics?from=http://a/livez"), "/metrics");
    }

    #[test]
    fn what_is_not_understood_has_a_status_of_its_own() {
        for (head, status) in [
            ("GET / HTTP/1.1", "400"),
            ("GET /", "400"),
            ("GET / HTTP/3.0\r\nHost: a", "400"),
            ("GET / HTTP/1.1\r\nHost a", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1", "400"),
            ("POST / HTTP/1.1\r\nHost: a", "405"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3", "413"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 7", "413"),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", "413"),
            (&format!("GET / HTTP/1.1\r\nHost: a{}", "\r\nA: b".repeat(80)), "400"),
        ] {
            assert_eq!(parse(head), Err(status), "{head}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&head);
        }
    }
}
