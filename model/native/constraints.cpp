// Which characters a pattern and a logit bias leave to draw from: the rules of
// `model/choice/constraint.py`.
#include <limits>

#include "sampling.h"

void constrain_logits(const Constraint& constraint, int state, const float* logits, int count,
                      float* constrained) {
  const int32_t* next = constraint.next + state * constraint.classes;
  const bool may_end = constraint.may_end[state];
  for (int id = 0; id < count; ++id) {
    const float biased = constraint.biases ? logits[id] + constraint.biases[id] : logits[id];
    const bool allowed = next[constraint.class_of[id]] != kNowhere;
    constrained[id] = allowed || may_end ? biased : -std::numeric_limits<float>::infinity();
  }
}

void Sampler::choose_constrained(const Network& network, const Batch& batch, int step, int stream,
                                 const float* logits, float* exponentials) {
  const std::size_t index = std::size_t(step) * batch.streams + stream;
  const Constraint& constraint = batch.constraints[stream];
  int32_t& state = batch.pattern_states[stream];
  const int32_t* next = constraint.next + state * constraint.classes;
  // The characters that the pattern does not allow stand for the end, which is one candidate.
  const int end = network.vocabulary_size;
  float end_exponential = 0;
  for (int id = 0; id < end; ++id)
    if (next[constraint.class_of[id]] == kNowhere) {
      end_exponential += exponentials[id];
      exponentials[id] = 0;
    }
  exponentials[end] = end_exponential;
  exponentials_ = exponentials;
  filter(batch, stream, exponentials, end + 1);

  const int64_t forced = batch.forced_ids[index];
  const int64_t id = forced < 0 ? draw(batch.uniforms[index]) : forced;
  const int following = id == end ? kFinal : next[constraint.class_of[id]];
  // Only weights that are not finite can lead nowhere.
  if (forced < 0) state = following >= 0 ? following : kEnded;
  if (state == kEnded) batch.lengths[stream] = step + (id != end);
  batch.ids[index] = id == end ? 0 : id;
  const int alternatives = batch.alternatives[stream];
  if (alternatives < 0 || id == end) return;
  double* values = batch.scores + index * (4 + 3 * batch.max_alternatives);
  score(logits, end, int(id), alternatives, batch.max_alternatives, values);
}
