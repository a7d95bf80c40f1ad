//! File names: how they are read from a form, stored, and matched in a URL.

use crate::http::{Request, TOKEN, Upload, plik};
use serde_json::{Value, json};

async fn add(plik: &crate::http::Plik, upload: &Upload, disposition: &str) -> Value {
    let request = Request::new("POST", &format!("/file/{}", upload.id)).header(TOKEN, &upload.token);
    let disposition = format!("form-data; name=\"file\"; {disposition}");
    plik.send(request.parts(&[(&disposition, b"hello")])).await.json()
}

#[tokio::test]
async fn only_the_last_component_of_a_name_is_kept() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let cases = [
        ("a/b/c.txt", "c.txt"),
        ("../../etc/passwd", "passwd"),
        (r"a\\b.txt", r"a\b.txt"),
        (r"C:\dir\f.txt", r"C:\dir\f.txt"),
        ("..", ".."),
        ("/", "/"),
        ("日本 é.txt", "日本 é.txt"),
        ("%E6%97%A5 a%20b.txt", "%E6%97%A5 a%20b.txt"),
    ];
    for (sent, stored) in cases {
        assert_eq!(add(&plik, &upload, &format!("filename=\"{sent}\"")).await["fileName"], stored);
    }
    assert!(plik.on_disk().iter().all(|path| path.starts_with(plik.dir.path())));
}

#[tokio::test]
async fn the_extended_file_name_wins() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let file = add(&plik, &upload, "filename=\"plain\"; filename*=UTF-8''%E6%97%A5%20x.txt").await;
    assert_eq!(file["fileName"], "日 x.txt");
    assert_eq!(add(&plik, &upload, "filename*=utf-8'en'only").await["fileName"], "only");
}

#[tokio::test]
async fn a_name_may_have_1024_bytes_and_no_more() {
    let plik = plik().await;
    let upload = plik.create("").await;
    plik.add(&upload, &"n".repeat(1024), b"x").await;
    let too_long = "file name nnnnnnnnnnnnnnnnnnnn... is too long, maximum length is 1024 characters";
    let reply = plik.try_add(&upload, &"n".repeat(1025), b"x").await;
    reply.assert_error(400, &format!("unable to create file : {too_long}"));
    let declared = json!({"files": [{"fileName": "n".repeat(1025)}]}).to_string();
    plik.try_create(&declared).await.assert_error(400, &format!("unable to create upload : {too_long}"));
    assert_eq!(plik.files(&upload).await.len(), 1);
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_stored_and_shown_with_replacement_characters() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let mut request = Request::new("POST", &format!("/file/{}", upload.id))
        .header(TOKEN, &upload.token)
        .form("a?b", b"hello")
        .bytes();
    let at = request.windows(3).position(|window| window == b"a?b").unwrap();
    request[at + 1] = 0xff;
    let mut stream = plik.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await.unwrap();
    let file = crate::http::read_reply(&mut stream).await.json();
    assert_eq!(file["fileName"], "a\u{fffd}b");
    let path = format!("/file/{}/{}/a%ffb", upload.id, file["id"].as_str().unwrap());
    assert_eq!(plik.get(&path).await.text(), "hello");
}

#[tokio::test]
async fn a_url_name_matches_after_one_percent_decoding() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let file = add(&plik, &upload, "filename=\"a b+é%20.txt\"").await;
    let base = format!("/file/{}/{}", upload.id, file["id"].as_str().unwrap());
    assert_eq!(plik.get(&format!("{base}/a%20b+%C3%A9%2520.txt")).await.text(), "hello");
    assert_eq!(plik.get(&format!("{base}/a%20b%2B%c3%a9%2520.txt")).await.text(), "hello");
    for wrong in ["a+b+%C3%A9%2520.txt", "a%20b+%C3%A9%20.txt", "A%20b+%C3%A9%2520.txt", "other"] {
        plik.get(&format!("{base}/{wrong}")).await.assert_error(400, "invalid file name");
    }
}

#[tokio::test]
async fn a_name_of_two_dots_can_be_stored_and_never_fetched() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let id = add(&plik, &upload, "filename=\"..\"").await["id"].as_str().unwrap().to_owned();
    for path in [format!("/file/{}/{id}/..", upload.id), format!("/file/{}/{id}/%2e%2E", upload.id)] {
        let reply = plik.get(&path).await;
        assert_eq!((reply.status, reply.header("location")), (301, Some(&*format!("/file/{}", upload.id))));
    }
}

#[tokio::test]
async fn a_broken_percent_sequence_in_a_url_is_400() {
    let plik = plik().await;
    assert_eq!(plik.get("/upload/%zz").await.status, 400);
    assert_eq!(plik.get("/upload/%").await.status, 400);
}

#[tokio::test]
async fn a_disposition_carries_the_name_unescaped_but_never_a_line_break() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let declared = r#"{"files":[{"fileName":"a\r\nX-Evil: 1\u0007"}]}"#;
    let created = plik.try_create(declared).await.json();
    let path = format!(
        "/file/{}/{}/a%0D%0AX-Evil:%201%07",
        created["id"].as_str().unwrap(),
        created["files"][0]["id"].as_str().unwrap()
    );
    let missing = plik.send(Request::new("GET", &path).agent("Mozilla/5.0")).await;
    assert_eq!((missing.status, missing.header("x-evil")), (301, None));

    let file = add(&plik, &upload, r#"filename="say \"hi\".txt""#).await;
    let path = format!("/file/{}/{}/say%20%22hi%22.txt", upload.id, file["id"].as_str().unwrap());
    let disposition = |reply: &crate::http::Reply| reply.header("content-disposition").unwrap().to_owned();
    assert_eq!(disposition(&plik.get(&path).await), r#"filename="say "hi".txt""#);
    assert_eq!(
        disposition(&plik.get(&format!("{path}?dl=1")).await),
        r#"attachement; filename="say "hi".txt""#
    );
    assert_eq!(disposition(&plik.get(&format!("{path}?dl=")).await), r#"filename="say "hi".txt""#);
}
