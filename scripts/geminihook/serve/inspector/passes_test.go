package inspector

import "testing"

func TestPassInWords(t *testing.T) {
	for line, want := range map[string]string{
		`{"message":"pass","complete":true,"webhook_state":"missing","jobs":0}`:                                                                          "complete, webhook missing, 0 jobs",
		`{"message":"pass","complete":false,"jobs":1,"pending":1}`:                                                                                       "not complete, webhook not read, 1 job, 1 pending",
		`{"message":"pass","outcome":"unavailable","step":"build","error":"no key"}`:                                                                     "not complete, webhook not read, 0 jobs",
		`{"message":"pass","complete":true,"webhook_state":"enabled","jobs":9,"held":1,"reported":2,"lost":3,"rejected":4,"foreign":5,"truncated":true}`: "complete, webhook enabled, 9 jobs, 1 held, 2 reported, 3 lost, 4 names rejected, 5 of others, truncated",
		`{"message":"delivery","type":"pass"}`:                                                                                                           "",
		`{"message":"pass",`:                                                                                                                             "",
	} {
		switch p := ReadPass([]byte(line)); {
		case p == nil && want != "":
			t.Errorf("%s is not read as a pass", line)
		case p != nil && p.Words() != want:
			t.Errorf("%s: %q, want %q", line, p.Words(), want)
		}
	}
}

// The page finds a job's action by the full name or by its last segment.
func TestPassesKeepActions(t *testing.T) {
	p := new(Passes)
	if got := p.words(); got != "none yet" {
		t.Errorf("before the first pass: %q", got)
	}
	p.Logged([]byte(`{"message":"missed job","kind":"interaction","job":"interactions/v1_a..","action":"handed_over"}`))
	p.Logged([]byte(`{"message":"missed job","kind":"batch","job":"batches/b","action":"deferred"}`))
	p.Logged([]byte(`{"message":"missed job","kind":"batch","job":"batches/b","action":"held"}`))
	for job, want := range map[string]string{"v1_a..": "handed over", "batches/b": "held", "batches/c": ""} {
		if got := p.action(job); got != want {
			t.Errorf("%s: %q, want %q", job, got, want)
		}
	}
}
