//! Errors on downloads go out as redirects, except to clients that look like command line tools.

use crate::http::{Request, TOKEN, plik};

#[tokio::test]
async fn an_error_on_a_download_is_a_redirect_for_anything_but_a_command_line_client() {
    let plik = plik().await;
    let agents = [
        "Mozilla/5.0 (X11)",
        "python-requests/2.31",
        "Python/3.11 aiohttp/3.9",
        "reqwest/0.12",
        "",
        "my curl/8",
        "cur",
    ];
    for agent in agents {
        let reply = plik.send(Request::new("GET", "/file/u/f/n?dl=1").agent(agent)).await;
        assert_eq!(reply.status_line, "HTTP/1.1 301 Moved Permanently", "{agent}");
        let location = "/#/?err=upload u not found&errcode=404&uri=/file/u/f/n?dl=1";
        assert_eq!(reply.header("location"), Some(location), "with raw spaces");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(
            reply.text().starts_with("<a href=\"/#/?err=upload u not found&amp;errcode=404"),
            "{reply:?}"
        );
    }
    let reply = plik.send(Request::new("GET", "/file/u/f/n").without("User-Agent")).await;
    assert_eq!(reply.status, 301);
    let head = plik.send(Request::new("HEAD", "/file/u/f/n").agent("Mozilla")).await;
    assert_eq!((head.status, head.body.len()), (301, 0));
}

#[tokio::test]
async fn eight_beginnings_of_the_user_agent_get_plain_errors() {
    let plik = plik().await;
    let agents = [
        "curl/8 (my application)",
        "CURL",
        "Wget/1.21",
        "python-urllib/3",
        "libwwww-perl",
        "PHP/8",
        "pycurl",
        "PyCURL/7",
        "Go-http-client/1.1",
        "plik_client/1.0",
    ];
    for agent in agents {
        let reply = plik.send(Request::new("GET", "/file/u/f/n").agent(agent)).await;
        reply.assert_error(404, "upload u not found");
    }
}

#[tokio::test]
async fn every_kind_of_download_error_redirects_with_its_code() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a b", b"hello").await.replace(' ', "%20");
    let cases = [
        (path.replace("a%20b", "x"), "400"),
        (path.replace(&upload.id, "u"), "404"),
        (format!("/stream/{}/f/n", upload.id), "404"),
    ];
    for (path, code) in cases {
        let reply = plik.send(Request::new("GET", &path).agent("Mozilla")).await;
        let expected = format!("&errcode={code}&uri={path}");
        assert!(reply.header("location").unwrap().ends_with(&expected), "{reply:?}");
    }
    let good = plik.send(Request::new("GET", &path).agent("Mozilla")).await;
    assert_eq!((good.status, good.text()), (200, "hello".into()));
}

#[tokio::test]
async fn following_the_redirect_leads_to_a_405() {
    let plik = plik().await;
    let reply = plik.send(Request::new("GET", "/").agent("Mozilla")).await;
    assert_eq!((reply.status, reply.body.len()), (405, 0));
}

#[tokio::test]
async fn a_401_and_errors_of_other_requests_never_redirect() {
    let plik = plik().await;
    let upload = plik.create(r#"{"login":"l","password":"p"}"#).await;
    let path = plik.put(&upload, "a", b"hello").await;
    let browser = |method: &str, path: &str| Request::new(method, path).agent("Mozilla");
    assert_eq!(plik.send(browser("GET", &path)).await.status, 401);
    assert_eq!(plik.send(browser("GET", "/upload/u")).await.status, 404);
    assert_eq!(plik.send(browser("DELETE", "/file/u/f/n")).await.status, 404);
    assert_eq!(plik.send(browser("POST", "/file/u").header(TOKEN, "x").form("a", b"x")).await.status, 404);
    assert_eq!(
        plik.send(browser("POST", "/file/u/f/n").header(TOKEN, "x").form("a", b"x")).await.status,
        404
    );
    assert_eq!(plik.send(browser("POST", "/upload").body("[")).await.status, 400);
    assert_eq!(plik.send(browser("GET", "/config")).await.status, 200);
}
