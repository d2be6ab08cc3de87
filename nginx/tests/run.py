#!/usr/bin/env python3
"""Tests nginx's configuration on a real nginx: TLS, redirects, streams, limits, headers, names that move.

Needs nginx, openssl and curl; no container engine, no root, no network. Everything listens on the loopback.
"""
import warnings
import http.client, json, os, random, re, shutil, signal, socket, socketserver, ssl, struct, subprocess, sys, tempfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are asked for, to be refused
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DONE = []


HELD = []


def free_port():
    """A port that nobody else is given until this program ends: below those of outgoing connections (32,768 and up), and
    held over UDP, as the Rust tests hold theirs."""
    for port in random.sample(range(12_000, 32_000), 2_000):
        hold = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            hold.bind(("127.0.0.1", port))
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            hold.close()
            continue
        HELD.append(hold)
        return port
    raise AssertionError("no port is free")


def until(what, check, patience=60, pause=0.05):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        got = check()
        if got:
            return got
        time.sleep(pause)
    raise AssertionError(f"not in {patience} s: {what}")


class Names(socketserver.BaseRequestHandler):
    """A name server that knows one name."""
    addresses = []

    def handle(self):
        data, sock = self.request
        found = self.addresses if data[-4:-2] == b"\x00\x01" else []
        head = data[:2] + struct.pack("!HHHHH", 0x8180 if self.addresses else 0x8183, 1, len(found), 0, 0)
        answers = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 600, 4) + socket.inet_aton(a) for a in found)
        sock.sendto(head + data[12:] + answers, self.client_address)


class Gateway(BaseHTTPRequestHandler):
    """What a gateway does as far as nginx can see."""
    protocol_version = "HTTP/1.1"
    seen = []
    go_on = threading.Event()

    def log_message(self, *args):
        pass

    def do_GET(self):
        Gateway.seen.append(self.path)
        if self.path == "/ws":
            self.send_response(101)
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(b"echo:" + self.connection.recv(100))
            self.close_connection = True
            return
        if self.path.startswith("/api/events"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write("data: 하나\n\n".encode())
            self.wfile.flush()
            Gateway.go_on.wait(60)
            self.wfile.write(b"data: 2\n\n")
            self.close_connection = True
            return
        body = json.dumps({"server": self.server.server_address[0], "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        for name, value in [("X-Request-Id", "twice?"), ("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def gateway(address, port):
    server = Server((address, port), Gateway)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class Nginx:
    def __init__(self, folder, **more):
        self.folder = folder
        self.http, self.https = free_port(), free_port()
        self.log = os.path.join(folder, "log")
        config = os.path.join(folder, "config")
        shutil.copytree(os.path.join(ROOT, "nginx"), config, dirs_exist_ok=True)
        path = os.path.join(config, "nginx.conf")
        # Only the places of its own files are changed.
        text = open(path).read().replace("/tmp/nginx/", f"{folder}/work/").replace("root /challenges", f"root {folder}/challenges")
        text = text.replace("/dev/stdout", f"{folder}/access").replace("error_log /dev/stderr", f"error_log {folder}/error")
        open(path, "w").write(text)
        self.env = dict(os.environ, WORK=f"{folder}/work", CERTIFICATES=f"{folder}/certificates", WATCH_SECONDS="0.3",
                        LISTEN_HTTP=f"127.0.0.1:{self.http}", LISTEN_HTTPS=f"127.0.0.1:{self.https}", HTTPS_PORT=str(self.https), **more)
        self.start = os.path.join(config, "start")

    def __enter__(self):
        self.process = subprocess.Popen([self.start], env=self.env, stdout=open(self.log, "w"), stderr=subprocess.STDOUT, start_new_session=True)
        def listens():
            assert self.process.poll() is None, self.said()
            # Before that, the one that only checks the configuration has the ports for a moment.
            if "serving with the certificate" not in self.said():
                return False
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.https)) == 0
        until("nginx listens", listens)
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)

    def said(self):
        return open(self.log).read()

    def call(self, path, method="GET", body=None, source="127.0.0.1", **headers):
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.https, context=context, timeout=60, source_address=(source, 0))
        connection.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        return answer

    def raw(self, source="127.0.0.1", **context):
        setting = ssl._create_unverified_context()
        for name, value in context.items():
            if name == "alpn":
                setting.set_alpn_protocols(value)
            else:
                setattr(setting, name, value)
        return setting.wrap_socket(socket.create_connection(("127.0.0.1", self.https), 60, (source, 0)), server_hostname="localhost")


def test(function):
    DONE.append(function)
    return function


@test
def plain_http_leads_to_tls_and_to_challenges(n):
    connection = http.client.HTTPConnection("127.0.0.1", n.http)
    connection.request("GET", "/api/tasks?x=1", headers={"Host": f"chavion.example:{n.http}"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, f"https://chavion.example:{n.https}/api/tasks?x=1"), answer.getheader("Location")
    answer.read()
    os.makedirs(f"{n.folder}/challenges/.well-known/acme-challenge", exist_ok=True)
    open(f"{n.folder}/challenges/.well-known/acme-challenge/token", "w").write("proof")
    connection.request("GET", "/.well-known/acme-challenge/token")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"proof")


@test
def tls_is_modern_and_speaks_http2(n):
    assert n.raw(alpn=["h2", "http/1.1"]).selected_alpn_protocol() == "h2"
    assert n.raw().version() == "TLSv1.3"
    assert n.raw(maximum_version=ssl.TLSVersion.TLSv1_2).version() == "TLSv1.2"
    try:
        n.raw(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        raise AssertionError("TLS 1.1 was taken")
    except (ssl.SSLError, ConnectionError):
        pass
    told = subprocess.run(["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"https://127.0.0.1:{n.https}/health"],
                          capture_output=True, text=True).stdout
    assert told == "2 200", told


@test
def every_answer_has_its_headers(n):
    for path, status in [("/health", 200), ("/metrics", 404)]:
        answer = n.call(path)
        assert answer.status == status
        for name, value in [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer")]:
            assert answer.headers.get_all(name) == [value], (path, name, answer.headers.get_all(name))
        assert "frame-ancestors 'none'" in answer.getheader("Content-Security-Policy")
        # A self-signed certificate with HSTS would lock its own operator out.
        assert answer.getheader("Strict-Transport-Security") is None
        assert "nginx/" not in (answer.getheader("Server") or "")


@test
def what_is_for_machines_inside_is_not_there(n):
    Gateway.seen.clear()
    for path in ["/metrics", "/metrics/", "/ready", "/debug/pprof", "/%6detrics", "/x/../metrics", "//metrics", "/METRICS", "/metrics;x", "/metrics%2e",
                 "/api/../metrics", "/a/t%2f..%2f..%2fmetrics", "/grafana/metrics", "/grafana/%6detrics", "/grafana/debug/pprof/heap"]:
        answer = n.call(path, source="127.0.0.4")
        assert (answer.status, json.loads(answer.text)["code"]) == (404, "unknown_route"), path
    assert Gateway.seen == []


@test
def a_request_has_one_id_one_trace_and_its_true_sender(n):
    answer = n.call("/x", X_Forwarded_For="6.6.6.6", X_Real_IP="6.6.6.6", X_Request_Id="bad id\t!", traceparent="00-0-0-00")
    seen = {k.lower(): v for k, v in json.loads(answer.text)["headers"].items()}
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == "127.0.0.1" and seen["x-forwarded-proto"] == "https"
    assert re.fullmatch("[0-9a-f]{32}", seen["x-request-id"]) and answer.headers.get_all("X-Request-Id") == [seen["x-request-id"]]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", seen["traceparent"])
    at, took = seen["x-trace-began"].split("-")
    assert abs(float(at) - time.time()) < 60 and 0 <= float(took) < 60, "whoever tells nginx's span knows when it began"
    begun = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    seen = {k.lower(): v for k, v in json.loads(n.call("/x", X_Request_Id="한결-1".encode().hex(), traceparent=begun, X_Trace_Began="1-0").text)["headers"].items()}
    assert "x-trace-began" not in seen, "a trace that its sender has begun has its first span there"
    assert seen["x-request-id"] == "한결-1".encode().hex() and seen["traceparent"] == begun


def told(n, request, tls=True):
    """What nginx answers to these bytes, to its end: status, headers, body."""
    sock = n.raw("127.0.0.4") if tls else socket.create_connection(("127.0.0.1", n.https), 60)
    sock.sendall(request)
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, answer.headers, answer.read().decode()


@test
def what_cannot_be_read_is_refused_in_the_gateways_words(n):
    Gateway.seen.clear()
    ends = b"Host: x\r\nConnection: close\r\n"
    refused = {
        # Two lengths, of which another server may take the other.
        b"POST /p HTTP/1.1\r\n" + ends + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": (400, "bad_request"),
        b"POST /p HTTP/1.1\r\n" + ends + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd": (400, "bad_request"),
        b"POST /p HTTP/1.1\r\n" + ends + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n": (400, "bad_request"),
        b"GET / HTTP/1.1\r\nHost: x\r\n" + ends + b"\r\n": (400, "bad_request"),
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n": (400, "bad_request"),
        b"GET / HTTP/1.1\r\n" + ends + b"X: a\r\n b\r\n\r\n": (400, "bad_request"),
        b"GET / HTTP/1.1\r\n" + ends + b"X Y: a\r\n\r\n": (400, "bad_request"),
        b"GET /../metrics HTTP/1.1\r\n" + ends + b"\r\n": (400, "bad_request"),
        b"GET /%00 HTTP/1.1\r\n" + ends + b"\r\n": (400, "bad_request"),
        b"CONNECT other:1 HTTP/1.1\r\n" + ends + b"\r\n": (400, "bad_request"),
        b"nonsense\r\n\r\n": (400, "bad_request"),
        b"GET / HTTP/1.1\r\n" + ends + b"X: " + b"a" * 20_000 + b"\r\n\r\n": (400, "bad_request"),
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + ends + b"\r\n": (414, "bad_request"),
        b"TRACE / HTTP/1.1\r\n" + ends + b"\r\n": (405, "method_not_allowed"),
    }
    for request, wanted in refused.items():
        status, headers, body = told(n, request)
        problem = json.loads(body)
        assert (status, problem["code"], problem["status"]) == (*wanted, status), (request[:60], status, body)
        assert headers["Content-Type"] == "application/problem+json" and headers["X-Content-Type-Options"] == "nosniff", headers
        assert re.fullmatch("[0-9a-f]{32}", problem["request_id"]) and headers.get_all("X-Request-Id") == [problem["request_id"]], headers
        assert headers.get_all("Cache-Control") == ["no-store"] and "Content-Security-Policy" in headers
    assert Gateway.seen == [], Gateway.seen
    # Who forgets the s is led on.
    status, headers, _ = told(n, b"GET /x?y HTTP/1.1\r\nHost: chavion.example\r\n\r\n", tls=False)
    assert (status, headers["Location"]) == (301, f"https://chavion.example:{n.https}/x?y"), headers


@test
def nothing_that_a_client_claims_about_itself_passes(n):
    claims = b"Forwarded: for=6.6.6.6\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX_Real_IP: 6.6.6.6\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"
    for path, upgrade in [(b"/api/x", b"h2c"), (b"/api/x", b"websocket"), (b"/grafana/x", b"h2c")]:
        status, _, body = told(n, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nUpgrade: " + upgrade + b"\r\n" + claims + b"\r\n")
        seen = {name.lower(): value for name, value in json.loads(body)["headers"].items()}
        assert status == 200 and not {"forwarded", "x-forwarded-port", "x-forwarded-prefix", "x_real_ip", "upgrade"} & set(seen), seen
        assert seen.get("connection", "close").lower() == "close", seen
    # A trace of zeros is none.
    seen = {k.lower(): v for k, v in json.loads(n.call("/x", traceparent=f"00-{'0' * 32}-{'0' * 16}-00").text)["headers"].items()}
    assert re.fullmatch("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01", seen["traceparent"]), seen


@test
def grafana_is_led_to_with_the_same_care(n):
    answer = n.call("/grafana/d/orders")
    assert answer.status == 200
    for name, value in [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "same-origin")]:
        assert answer.headers.get_all(name) == [value], (name, answer.headers.get_all(name))
    # Its pages have a policy of their own, which ours would break.
    assert answer.getheader("Content-Security-Policy") is None
    assert re.fullmatch("[0-9a-f]{32}", answer.getheader("X-Request-Id"))


@test
def a_slow_or_silent_client_holds_up_nobody(n):
    silent = [n.raw("127.0.0.5") for _ in range(50)]
    for sock in silent:
        sock.sendall(b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
    assert n.call("/health").status == 200
    # A body that never comes whole never reaches a gateway.
    assert "/api/tasks" not in Gateway.seen[-1:], Gateway.seen
    for sock in silent:
        sock.close()


@test
def a_stream_arrives_while_it_is_written(n):
    Gateway.go_on.clear()
    sock = n.raw()
    sock.sendall(b"GET /api/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    got = b""
    while "하나".encode() not in got:
        got += sock.recv(4096)
    assert b"data: 2" not in got
    Gateway.go_on.set()
    while b"data: 2" not in got:
        more = sock.recv(4096)
        assert more
        got += more


@test
def a_websocket_passes(n):
    sock = n.raw()
    sock.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n")
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(4096)
    assert got.startswith(b"HTTP/1.1 101"), got
    sock.sendall(b"ping")
    while b"echo:ping" not in got:
        more = sock.recv(4096)
        assert more, got
        got += more


@test
def bodies_and_calls_have_a_limit(n):
    assert n.call("/api/tasks", "POST", b"x" * 1_500_000).status == 200, "the gateway itself says what it takes"
    answer = n.call("/api/tasks", "POST", b"x" * 2_500_000)
    assert answer.status == 413 and json.loads(answer.text)["code"] == "too_large"
    # Many calls in one write: however busy the machine, they come faster than they may. From an address of its own, so
    # that the other tests' calls are not counted with them.
    calls, source = 600, "127.0.0.9"
    sock = n.raw(source)
    writing = threading.Thread(target=sock.sendall, args=(b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n" * calls,), daemon=True)
    writing.start()
    statuses, problem, stream = [], None, sock.makefile("rb")
    while problem is None and len(statuses) < calls:
        status = int(stream.readline().split()[1])
        headers = http.client.parse_headers(stream)
        text = stream.read(int(headers["Content-Length"]))
        statuses.append(status)
        if status == 429:
            problem = json.loads(text)
            assert headers["Retry-After"] == "1"
    assert problem and problem["code"] == "rate_limited" and statuses.count(200) >= 150, (len(statuses), problem)
    sock.close()
    until("calls are let in again", lambda: n.call("/health", source=source).status == 200)


@test
def no_capability_is_written_down(n):
    assert n.call("/a/s3cret-token/tasks?x=1").status == 200
    access = until("the line is there", lambda: [l for l in open(f"{n.folder}/access") if "/a/***/tasks" in l])
    assert json.loads(access[-1])["status"] == 200
    Names.addresses = []
    until("the gateway is forgotten", lambda: n.call("/a/s3cret-token/tasks").status == 503)
    Names.addresses = ["127.0.0.2"]
    until("the gateway is found again", lambda: n.call("/health").status == 200)
    for name in ["access", "error", "log"]:
        assert "s3cret" not in open(f"{n.folder}/{name}").read(), name


@test
def replicas_come_and_go(n):
    Names.addresses = ["127.0.0.2", "127.0.0.3"]
    servers = lambda: {json.loads(n.call("/x").text)["server"] for _ in range(8)}
    # Fewer calls a second than are let in.
    until("both serve", lambda: servers() == {"127.0.0.2", "127.0.0.3"}, pause=0.3)
    # One dies and is still named: nobody notices.
    n.second.shutdown()
    n.second.server_close()
    for _ in range(40):
        assert n.call("/x").status == 200
        time.sleep(0.03)
    Names.addresses = ["127.0.0.2"]


@test
def while_the_gateway_starts_people_see_a_page_and_programs_a_problem(n):
    n.first.shutdown()
    n.first.server_close()
    answer = n.call("/", Accept="text/html,*/*")
    assert answer.status == 503 and "시작하는 중입니다" in answer.text and answer.getheader("Retry-After") == "3", answer.text
    assert answer.getheader("Content-Type").startswith("text/html")
    for path in ["/api/tasks", "/api/tasks/"]:
        answer = n.call(path, Accept="text/html")
        assert answer.status == 503 and json.loads(answer.text)["code"] == "unavailable" and answer.getheader("X-Request-Id")
        # Every header of an ordinary answer, once.
        for name in ["X-Request-Id", "Retry-After", "X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Cache-Control"]:
            assert len(answer.headers.get_all(name) or []) == 1, (name, answer.headers.get_all(name))
    # A form that is sent while nobody is there: told as it is, and not as a wrong method.
    answer = n.call("/", "POST", b"x", Accept="text/html")
    assert answer.status == 503 and json.loads(answer.text)["code"] == "unavailable", answer.text
    # The log says what was asked for, and not what was shown instead.
    lines = until("the lines are there", lambda: [json.loads(line) for line in open(f"{n.folder}/access") if '"status":503' in line])
    assert "/starting.html" not in {line["path"] for line in lines} and "/" in {line["path"] for line in lines}, lines
    n.first = gateway("127.0.0.2", n.port)
    until("the gateway serves", lambda: n.call("/health").status == 200)


@test
def a_renewed_certificate_is_taken_in_and_an_expired_one_is_named(n):
    shown = lambda: ssl.get_server_certificate(("127.0.0.1", n.https))
    before = shown()
    live = f"{n.folder}/certificates/live/chavion.example"
    os.makedirs(live)
    # Its last day was yesterday.
    for words in [["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=chavion.example",
                   "-keyout", f"{live}/privkey.pem", "-out", f"{live}/request.pem"],
                  ["x509", "-req", "-in", f"{live}/request.pem", "-signkey", f"{live}/privkey.pem", "-days", "-1", "-out", f"{live}/fullchain.pem"]]:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    until("the new one is shown", lambda: shown() != before)
    # A worker of before may take one more call.
    until("browsers are told to stay with TLS", lambda: n.call("/health").getheader("Strict-Transport-Security") == "max-age=31536000")
    with Nginx(os.path.join(n.folder, "again"), **n.more) as again:
        until("it says so", lambda: "EXPIRED" in again.said() or None)
        assert "COMPOSE_PROFILES=acme" in again.said(), again.said()
    # One of our own is made anew by who made it.
    for name in ["fullchain.pem", "privkey.pem"]:
        shutil.copy(f"{live}/{name}", f"{n.folder}/certificates/self/{name}")
    with Nginx(os.path.join(n.folder, "again"), **dict(n.more, DOMAIN="")) as again:
        until("it says so", lambda: "EXPIRED" in again.said() or None)
        assert "docker compose up -d makes a new one" in again.said() and "acme" not in again.said(), again.said()


def main():
    missing = [name for name in ["nginx", "openssl", "curl"] if not shutil.which(name)]
    if missing:
        sys.exit(f"nginx/tests: not installed: {' '.join(missing)} (Debian: nginx-light openssl curl)")
    folder = tempfile.mkdtemp(prefix="chavion-nginx.")
    os.chmod(folder, 0o755)
    try:
        port, names = free_port(), socketserver.UDPServer(("127.0.0.1", 0), Names)
        threading.Thread(target=names.serve_forever, args=(0.05,), daemon=True).start()
        Names.addresses = ["127.0.0.2"]
        more = dict(RESOLVER=f"127.0.0.1:{names.server_address[1]}", GATEWAY=f"gateway.test:{port}", GRAFANA=f"grafana.test:{port}", DOMAIN="chavion.example")
        nginx = Nginx(folder, **more)
        refused = subprocess.run([nginx.start], env=nginx.env, capture_output=True, text=True)
        assert refused.returncode == 64 and "no certificate" in refused.stdout, refused
        subprocess.run([os.path.join(ROOT, "docker/certificate")], env=dict(os.environ, CERTIFICATES=f"{folder}/certificates", TEXTFILE=folder, DOMAIN="chavion.example"), check=True, capture_output=True)
        assert 'expires_timestamp_seconds{name="chavion.example"} ' in open(f"{folder}/certificate.prom").read()
        os.makedirs(f"{folder}/again")
        os.symlink(f"{folder}/certificates", f"{folder}/again/certificates")
        with nginx as n:
            n.port, n.more = port, more
            n.first, n.second = gateway("127.0.0.2", port), gateway("127.0.0.3", port)
            until("the gateway serves", lambda: n.call("/health").status == 200)
            for function in DONE:
                began = time.monotonic()
                try:
                    function(n)
                except BaseException:
                    print(f"FAIL {function.__name__}\n{n.said()}\n{''.join(open(f'{folder}/error').readlines()[-10:])}", file=sys.stderr)
                    raise
                print(f"ok   {function.__name__} ({time.monotonic() - began:.1f} s)")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"nginx: {len(DONE)} tests passed")


main()
