"""GStreamer's RTSP server with one H.264 stream of counted pictures; runs under the system's Python, which has gi.

``rtsp_server.py PORT [USER PASSWORD]`` prints ``up`` and its port when it listens. Lines on standard input: ``pause``
holds pictures back, ``go`` sends them again; its end is the server's. Each picture is a little brighter than the last.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
WIDTH, HEIGHT, RATE = 160, 120, 25
going = threading.Event()
going.set()


class Factory(GstRtspServer.RTSPMediaFactory):
    """One shared stream, its pictures pushed by this program."""

    def __init__(self):
        super().__init__()
        self.set_shared(True)
        self.number = 0

    def do_create_element(self, url):
        return Gst.parse_launch(
            "( appsrc name=source is-live=true format=time do-timestamp=true "
            f"caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={RATE}/1 "
            f"! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={RATE} "
            "! rtph264pay name=pay0 pt=96 config-interval=1 )"
        )

    def do_configure(self, media):
        source = media.get_element().get_child_by_name("source")

        def push():
            if going.is_set():
                level = 20 + self.number % 200
                source.emit("push-buffer", Gst.Buffer.new_wrapped(bytes([level]) * (WIDTH * HEIGHT)))
                self.number += 1
            return media.get_status() != GstRtspServer.RTSPMediaStatus.ERROR

        GLib.timeout_add(1000 // RATE, push)


server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = Factory()
if len(sys.argv) > 2:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "camera")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(sys.argv[2], sys.argv[3]), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string("camera, media.factory.access=(boolean)true, media.factory.construct=(boolean)true")[
            0
        ]
    )
server.get_mount_points().add_factory("/line", factory)
server.attach(None)


def listen():
    """Obeys standard input; its end is ours."""
    for line in sys.stdin:
        going.set() if line.strip() == "go" else going.clear()
    loop.quit()


loop = GLib.MainLoop()
threading.Thread(target=listen, daemon=True).start()
print("up", server.get_bound_port(), flush=True)
loop.run()
