// The memory of a stream: what followed the last characters before, and where the last characters
// occurred before. It starts empty and learns from every character that the stream reads.
//
// Each step mixes the model's distribution with the memory's. The mixture is log-linear: its logits
// are a weighted sum of both distributions' log-probabilities, and the weights learn online from each
// character (Mattern 2012, "Mixing strategies in data compression"). The README of this folder
// describes the algorithm, and tests/model/native/memory_reference.py is the same in Python.
//
// All arithmetic is in float32, in a fixed order and without fused operations. So the results have
// the same bits with every instruction set.
#pragma once

#include <cstdint>

struct Memory;

// The size of a memory in bytes, a multiple of a cache line. 0 if there are too many characters.
// A memory of zeros is empty.
int64_t memory_bytes(int vocabulary_size);

// Reads a character, learns from it, and mixes the logits of the character that follows. Returns
// the logits of the mixture, which are valid until the next call.
const float* mix_logits(Memory* memory, int64_t id, const float* logits, int vocabulary_size);
