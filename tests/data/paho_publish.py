"""Publishes messages with paho-mqtt and waits until all are acknowledged, then says so as JSON.

paho_publish.py HOST PORT VERSION QOS CLIENT COUNT [--cut]

Payloads are "CLIENT 0", "CLIENT 1", and so on. The session is kept. With --cut, the socket dies twice on the
way, and the client comes again by itself.
"""

import json
import socket
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, version, qos, client_id, count = sys.argv[1:7]
cuts = 2 if "--cut" in sys.argv else 0
port, qos, count = int(port), int(qos), int(count)
v5 = version == "5"

client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
    **({} if v5 else {"clean_session": False}),
)
client.reconnect_delay_set(min_delay=0.1, max_delay=1)
sessions = []
connected = threading.Event()


def on_connect(_client, _data, flags, reason, _properties):
    sessions.append([flags.session_present, str(reason)])
    connected.set()


client.on_connect = on_connect

kept = properties = None
if v5:
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 3600
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.UserProperty = ("site", "A1")
client.connect(host, port, **({"clean_start": False, "properties": kept} if v5 else {}))
client.loop_start()

published = []
for index in range(count):
    topic = f"devices/{client_id}-{index % 5}/telemetry"
    published.append(client.publish(topic, f"{client_id} {index}", qos=qos, properties=properties))
    if cuts and index in (count // 3, 2 * count // 3):
        # Some are acknowledged by now, some are on the way.
        published[index // 2].wait_for_publish(30)
        connected.wait(30)
        connected.clear()
        client.socket().shutdown(socket.SHUT_RDWR)
for message in published:
    message.wait_for_publish(30)
    if not message.is_published():
        sys.exit(f"not acknowledged within 30 s: {message}")
client.disconnect()
client.loop_stop()
print(json.dumps({"published": count, "sessions": sessions}))
