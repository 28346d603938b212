"""Opens a page in a headless Chromium, uses its keyboard, and prints what came of it as JSON.

    live_page.py CHROMIUM FOLDER URL WIDTH SCHEME [PICTURE]

It speaks the DevTools protocol, because a page that reads figures again and again has no end
at which its document could be dumped.
"""

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request

chromium, folder, url, width, scheme, *picture = sys.argv[1:]
PATIENCE = 60


class DevTools:
    """A WebSocket to one page."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(b"0123456789abcdef").decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while self.file.readline().strip():
            pass
        self.number = 0
        self.messages = []

    def read(self):
        first, second = self.file.read(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", self.file.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.file.read(8))
        return json.loads(self.file.read(length))

    def call(self, method, **parameters):
        self.number += 1
        text = json.dumps({"id": self.number, "method": method, "params": parameters}).encode()
        self.socket.sendall(struct.pack(">BBH", 0x81, 0x80 | 126, len(text)) + bytes(4) + text)
        while (answer := self.read()).get("id") != self.number:
            if answer.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.messages.append(answer["params"])
        return answer["result"]

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def wait_for(self, expression):
        until = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            if time.monotonic() > until:
                sys.exit(f"timed out: {expression}")
            time.sleep(0.1)


def page_path(port):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}/json", timeout=PATIENCE) as answer:
        pages = [page for page in json.load(answer) if page["type"] == "page"]
    return pages[0]["webSocketDebuggerUrl"].split(str(port), 1)[1]


browser = subprocess.Popen(
    [
        chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
    ],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
try:
    ports = os.path.join(folder, "DevToolsActivePort")
    until = time.monotonic() + PATIENCE
    while not (os.path.exists(ports) and open(ports).read().count("\n")):
        if time.monotonic() > until or browser.poll() is not None:
            sys.exit("the browser does not start")
        time.sleep(0.05)
    port = int(open(ports).readline())
    page = DevTools(port, page_path(port))
    page.call("Log.enable")
    page.call("Runtime.enable")
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.call("Emulation.setDeviceMetricsOverride", width=int(width), height=900, deviceScaleFactor=1, mobile=False)
    page.call("Page.navigate", url=url)
    points = '(document.querySelector("#messages .first")?.getAttribute("d").match(/[ML]/g) || []).length'
    page.wait_for(points + " >= 3")
    first = page.evaluate(points)
    page.wait_for(f"{points} > {first}")
    caption = 'document.querySelector("#messages figcaption").textContent'
    page.evaluate('document.activeElement.blur()')
    page.key("Tab")
    focused = page.evaluate("document.activeElement.id")
    page.key("ArrowLeft")
    page.key("ArrowLeft")
    back = page.evaluate(caption)
    page.key("Escape")
    result = {
        "focused": focused,
        "back": back,
        "now": page.evaluate(caption),
        "state": page.evaluate('document.getElementById("state").textContent'),
        "loops": page.evaluate('document.querySelectorAll("#balance tr").length - 1'),
        "figures": page.evaluate('document.getElementById("figures").textContent'),
        "background": page.evaluate("getComputedStyle(document.body).backgroundColor"),
        "overflow": page.evaluate("document.documentElement.scrollWidth - innerWidth"),
    }
    # A server that is gone: the line has a gap as long as that, and goes on behind it.
    state = 'document.getElementById("state").textContent'
    lines = '(document.querySelector("#messages .first").getAttribute("d").match(/M/g) || []).length'
    before = page.evaluate(lines)
    page.evaluate("window.kept = window.fetch; window.fetch = () => Promise.reject(new TypeError())")
    page.wait_for(f'{state}.includes("does not answer")')
    page.wait_for(f'/, [0-9]+ s ago$/.test({caption})')
    result["gone"] = page.evaluate(state)
    page.evaluate("window.fetch = window.kept")
    page.wait_for(f'{state} === "Serving." && {lines} > {before}')
    if picture:
        height = page.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": int(width), "height": height, "scale": 1}
        shot = page.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        with open(picture[0], "wb") as file:
            file.write(base64.b64decode(shot["data"]))
    result["messages"] = page.messages
    print(json.dumps(result))
finally:
    browser.kill()
    browser.wait()
