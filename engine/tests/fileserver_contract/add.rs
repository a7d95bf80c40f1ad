//! `POST /file/{id}`, `POST /file/{id}/{file}/{name}` and `POST /`.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{BOUNDARY, FORM, Request, TOKEN, form_start, plik, plik_with, read_reply};

const HELLO_MD5: &str = "5d41402abc4b2a76b9719d911017c592";

#[tokio::test]
async fn an_added_file_is_described_with_its_real_size_type_and_md5() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let file = plik.add(&upload, "hello.txt", b"hello").await;
    assert_eq!(file["id"].as_str().unwrap().len(), 16);
    let expected = json!({
        "fileName": "hello.txt", "status": "uploaded", "fileMd5": HELLO_MD5,
        "fileType": "text/plain; charset=utf-8", "fileSize": 5, "reference": "",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&file[key], value);
    }
    assert!(file["createdAt"].is_string());
    assert!(file.get("url").is_none());
    assert_eq!(plik.files(&upload).await, std::slice::from_ref(&file));
    let (id, disk) = (file["id"].as_str().unwrap(), plik.on_disk());
    assert_eq!(disk, [plik.dir.path().join("files").join(&id[..2]).join(id)]);
}

#[tokio::test]
async fn only_the_upload_token_header_opens_an_upload_for_adding() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = format!("/file/{}", upload.id);
    let refused = "you are not allowed to add file to this upload";
    let form = |request: Request| request.form("a", b"x");
    plik.send(form(Request::new("POST", &path))).await.assert_error(403, refused);
    plik.send(form(Request::new("POST", &path).header(TOKEN, "wrong"))).await.assert_error(403, refused);
    let query = format!("{path}?uploadToken={}", upload.token);
    plik.send(form(Request::new("POST", &query))).await.assert_error(403, refused);
    let bearer = Request::new("POST", &path).header("Authorization", &format!("Bearer {}", upload.token));
    plik.send(form(bearer)).await.assert_error(403, refused);
    assert!(plik.files(&upload).await.is_empty());
}

#[tokio::test]
async fn adding_to_an_unknown_upload_is_404() {
    let plik = plik().await;
    let request = Request::new("POST", "/file/nope").header(TOKEN, "x").form("a", b"x");
    plik.send(request).await.assert_error(404, "upload nope not found");
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_is_asked_for() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let mut stream = plik.connect().await;
    let head = Request::new("POST", &format!("/file/{}", upload.id))
        .without("Connection")
        .header("Expect", "100-continue")
        .header("Content-Type", FORM)
        .header("Content-Length", "1000000");
    stream.write_all(&head.bytes()).await.unwrap();
    let reply = read_reply(&mut stream).await;
    reply.assert_error(403, "you are not allowed to add file to this upload");
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let request = Request::new("POST", &format!("/file/{}", upload.id)).header(TOKEN, &upload.token);
    let bytes = request.header("Expect", "100-continue").form("a", b"hello").bytes();
    let head_len = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut stream = plik.connect().await;
    stream.write_all(&bytes[..head_len]).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&bytes[head_len..]).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.json()["fileMd5"], HELLO_MD5);
}

#[tokio::test]
async fn a_chunked_body_without_a_length_is_accepted_at_any_split() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let form = [&form_start("a")[..], b"hello", &crate::http::form_end()].concat();
    let chunked: Vec<u8> = form
        .chunks(3)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    let request = Request::new("POST", &format!("/file/{}", upload.id))
        .header(TOKEN, &upload.token)
        .header("Content-Type", FORM)
        .header("Transfer-Encoding", "chunked")
        .body(chunked);
    let reply = plik.send(request).await;
    assert_eq!((reply.status, reply.json()["fileMd5"].clone()), (200, json!(HELLO_MD5)));
}

#[tokio::test]
async fn parts_before_the_file_are_skipped_and_a_second_file_is_ignored() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let request =
        Request::new("POST", &format!("/file/{}", upload.id)).header(TOKEN, &upload.token).parts(&[
            ("form-data; name=\"note\"", b"x".repeat(100_000).as_slice()),
            ("form-data; name=\"other\"; filename=\"o\"", b"other"),
            ("form-data; name=\"file\"; filename=\"first\"", b"hello"),
            ("form-data; name=\"file\"; filename=\"second\"", b"second"),
        ]);
    let reply = plik.send(request).await;
    assert_eq!((&reply.json()["fileName"], &reply.json()["fileMd5"]), (&json!("first"), &json!(HELLO_MD5)));
    assert_eq!(plik.files(&upload).await.len(), 1);
}

#[tokio::test]
async fn a_form_without_a_named_file_is_400() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let request = || Request::new("POST", &format!("/file/{}", upload.id)).header(TOKEN, &upload.token);
    let no_file = request().parts(&[("form-data; name=\"data\"", b"x")]);
    plik.send(no_file).await.assert_error(400, "missing file from multipart form");
    for disposition in ["form-data; name=\"file\"", "form-data; name=\"file\"; filename=\"\""] {
        let no_name = request().parts(&[(disposition, b"x")]);
        plik.send(no_name).await.assert_error(400, "missing file name from multipart form");
    }
    plik.send(request().body("hello"))
        .await
        .assert_error(400, "invalid multipart form : request Content-Type isn't multipart/form-data");
    plik.send(request().header("Content-Type", "multipart/form-data").body("x"))
        .await
        .assert_error(400, "invalid multipart form : no multipart boundary param in Content-Type");
    plik.send(request().header("Content-Type", FORM).body("no form"))
        .await
        .assert_error(400, "invalid multipart form : multipart: NextPart: EOF");
    assert!(plik.files(&upload).await.is_empty());
}

#[tokio::test]
async fn a_truncated_form_is_500_and_leaves_a_deleted_file_of_size_0() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let cut = [&form_start("a")[..], b"hello"].concat();
    let request = Request::new("POST", &format!("/file/{}", upload.id))
        .header(TOKEN, &upload.token)
        .header("Content-Type", FORM)
        .body(cut);
    plik.send(request).await.assert_error(500, "unable to read data from request body : %s");
    let files = plik.files(&upload).await;
    assert_eq!((&files[0]["status"], &files[0]["fileSize"]), (&json!("deleted"), &json!(0)));
    assert!(plik.on_disk().is_empty());
}

#[tokio::test]
async fn an_empty_file_has_no_type_and_is_served_as_octets() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let file = plik.add(&upload, "e", b"").await;
    assert_eq!(
        (&file["fileSize"], &file["fileType"], &file["fileMd5"]),
        (&json!(0), &json!(""), &json!("d41d8cd98f00b204e9800998ecf8427e"))
    );
    let path = format!("/file/{}/{}/e", upload.id, file["id"].as_str().unwrap());
    let get = plik.get(&path).await;
    assert_eq!((get.status, get.header("content-length")), (200, Some("0")));
    assert_eq!(get.header("content-type"), Some("application/octet-stream"));
    assert_eq!(plik.head(&path).await.header("content-length"), None);
}

#[tokio::test]
async fn one_name_may_be_added_twice() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let (first, second) = (plik.put(&upload, "a", b"1").await, plik.put(&upload, "a", b"2").await);
    assert_ne!(first, second);
    assert_eq!((plik.get(&first).await.text(), plik.get(&second).await.text()), ("1".into(), "2".into()));
}

#[tokio::test]
async fn a_declared_file_is_added_under_its_own_name_once() {
    let plik = plik().await;
    let json = r#"{"files":[{"fileName":"a.txt","fileSize":99,"fileType":"x/y","reference":"r"}]}"#;
    let created = plik.try_create(json).await.json();
    let (id, token) = (created["id"].as_str().unwrap(), created["uploadToken"].as_str().unwrap());
    let path = format!("/file/{id}/{}/a.txt", created["files"][0]["id"].as_str().unwrap());
    let request = || Request::new("POST", &path).header(TOKEN, token);

    plik.get(&path).await.assert_error(404, &unavailable(&path, "missing"));
    plik.send(request().form("b.txt", b"x")).await.assert_error(400, "invalid file name");
    let file = plik.send(request().form("a.txt", b"hello")).await.json();
    assert_eq!((&file["fileSize"], &file["fileType"]), (&json!(5), &json!("text/plain; charset=utf-8")));
    assert_eq!((&file["reference"], &file["status"]), (&json!("r"), &json!("uploaded")));
    plik.send(request().form("a.txt", b"x"))
        .await
        .assert_error(400, "invalid file status uploaded, expected missing");
    assert_eq!(plik.get(&path).await.text(), "hello");
}

#[tokio::test]
async fn content_encoding_is_ignored() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let request = Request::new("POST", &format!("/file/{}", upload.id)).header(TOKEN, &upload.token);
    let reply = plik.send(request.header("Content-Encoding", "gzip").form("a", b"hello")).await;
    assert_eq!(reply.json()["fileMd5"], HELLO_MD5);
}

#[tokio::test]
async fn data_that_looks_like_the_boundary_is_data() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let data = format!("\r\n--{BOUNDARY}x\r\n--{}\r\n\r\n--\r\n", &BOUNDARY[1..]);
    let path = plik.put(&upload, "a", data.as_bytes()).await;
    assert_eq!(plik.get(&path).await.text(), data);
}

#[tokio::test]
async fn a_quick_upload_answers_the_url_of_its_file() {
    let plik = plik().await;
    let reply = plik.send(Request::new("POST", "/").form("my file.txt", b"hello")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    let text = reply.text();
    let url = text.strip_suffix('\n').unwrap();
    let path = url.strip_prefix(plik.server.url()).unwrap();
    assert!(path.starts_with("/file/") && path.ends_with("/my file.txt"), "the name is not escaped: {path}");
    assert_eq!(plik.get(&path.replace(' ', "%20")).await.text(), "hello");
}

#[tokio::test]
async fn a_quick_upload_uses_the_download_domain() {
    let plik = plik_with(|builder| builder.download_domain("https://dl.example.org/".into())).await;
    let reply = plik.send(Request::new("POST", "/").form("a", b"hello")).await;
    assert!(reply.text().starts_with("https://dl.example.org/file/"), "{reply:?}");
}

pub(crate) fn unavailable(path: &str, status: &str) -> String {
    let mut segments = path.rsplit('/');
    let (name, id) = (segments.next().unwrap(), segments.next().unwrap());
    format!("file {name} ({id}) is not available : {status}")
}
