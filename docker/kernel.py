"""Starts the Go kernel through Jupyter's API inside a container, runs a cell in it and wants its output. Argument: the token."""
import json
import sys
import time
import urllib.request
import uuid

import websocket

start, token = time.time(), sys.argv[1]
request = urllib.request.Request(
    "http://127.0.0.1:8888/api/kernels",
    json.dumps({"name": "gonb", "path": "notebooks"}).encode(),
    {"Authorization": "token " + token, "Content-Type": "application/json"},
)
kernel = json.load(urllib.request.urlopen(request, timeout=60))["id"]
socket = websocket.create_connection(f"ws://127.0.0.1:8888/api/kernels/{kernel}/channels?token={token}", timeout=60)
code = 'import "github.com/bitdistill/bitdistill/notebooks/kit"\n\n%%\nfmt.Println(6 * 7, kit.Settings{Steps: 3}.Steps)'
header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": uuid.uuid4().hex, "version": "5.3"}
content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
text = ""
while "42 3" not in text:
    message = json.loads(socket.recv())
    if message["msg_type"] == "stream":
        text += message["content"]["text"]
    if message["msg_type"] == "execute_reply" and message["content"]["status"] != "ok":
        sys.exit(f"FAIL: the cell failed: {message['content']} {text}")
print(f"a cell in Jupyter's kernel after {time.time() - start:.1f} s")
