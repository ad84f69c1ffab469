#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net.h"

#define KIND_TCP 1u
#define FLAG_PSH 0x08u
#define FLAG_ACK 0x10u
#define MERGED_MAXIMUM 0xFFFFu

/* Only what says nothing but "here is more of the same" may be merged: anything else in a segment, a flag, an option,
 * another acknowledgment, would be lost. */
int net_merge(const struct ring *ring, struct record *run, const struct record *next)
{
    if (run->kind != KIND_TCP || next->kind != KIND_TCP || run->flags != FLAG_ACK ||
        (next->flags & ~FLAG_PSH) != FLAG_ACK)
        return 0;
    if (run->src != next->src || run->dst != next->dst || run->src_port != next->src_port ||
        run->dst_port != next->dst_port || run->seq + run->payload_length != next->seq)
        return 0;
    if (run->ack != next->ack || run->window != next->window || run->tos != next->tos ||
        run->has_ts != next->has_ts || run->ts_val != next->ts_val || run->ts_ecr != next->ts_ecr)
        return 0;
    if (run->options_length || next->options_length || !run->payload_length || !next->payload_length ||
        !run->payload_start || !next->payload_start || run->payload_length + next->payload_length > MERGED_MAXIMUM)
        return 0;
    memmove(ring->buffer + run->payload_start + run->payload_length, ring->buffer + next->payload_start,
            next->payload_length);
    run->payload_length += next->payload_length;
    run->flags = next->flags;
    run->segments += next->segments;
    return 1;
}
