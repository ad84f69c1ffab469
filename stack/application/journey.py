"""The journey of a request, from the frames that carried it to the value that a handler gets.

A recorder keeps the latest frames of the host. Those of one connection, parsed again layer by layer, tell how the
request came here. journey_of() gives this, all plain values, as JSON:

    request       method, target, version, headers [[name, value]...], received_at (ISO 8601, UTC), host
    response      status, headers [[name, value]...]: what is about to be sent; it cannot be among the segments
    connection    client and server ("address:port"), state, mss, window scales (null: not agreed on), timestamps,
                  round_trip_us (of the handshake) and srtt_us (null when unknown), rto_us, cwnd, ssthresh,
                  congestion, window (ours), send_window (the client's)
    segments      one for each frame of the connection that is still remembered, oldest first:
        time_us       since the first of them, which is the SYN if `complete`
        direction     "in" (from the client) or "out"
        note          what it is: "SYN", "SYN-ACK", "ACK", "request", "data", "FIN", "RST"
        length        octets of the frame
        ethernet      src, dst, ethertype
        ipv4          src, dst, ttl, identification, dont_fragment, tos, header_length, total_length
        tcp           src_port, dst_port, seq, ack (and both relative to the handshake), flags, window,
                      window_scaled, header_length, payload_length, options
        fields        [{layer, name, value, start, length}...]: every header field, and where its octets are
        layers        [{name, start, length}...]: Ethernet, IPv4, TCP and, with payload, HTTP
        octets        the frame in hexadecimal, its payload cut after OCTETS_SHOWN
    complete      false: the handshake has already left the recorder's memory
    omitted       segments in the middle that are left out of a long connection
    carrier       the index in `segments` of the one with the request's last octet, or null
"""
