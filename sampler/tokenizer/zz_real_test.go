package tokenizer
import ("testing";"os";"encoding/json";"bufio";"fmt";"sort")
func TestReal(t *testing.T){ f,_:=os.Open("/tmp/w/tok/real.jsonl"); sc:=bufio.NewScanner(f); sc.Buffer(nil,1<<22)
 res:=map[string][5]int{}; first:=map[string]string{}
 cache:=map[string]*Tokenizer{}; cerr:=map[string]error{}
 for sc.Scan(){ var l struct{File,Name string; Messages []Message; Generate bool; Text *string; Error string}
  json.Unmarshal(sc.Bytes(),&l)
  r:=res[l.File]; r[0]++
  tok:=cache[l.File]
  if tok==nil&&cerr[l.File]==nil{ src,_:=os.ReadFile("/tmp/w/tok/"+l.File); p,err:=parseTemplate(string(src)); if err!=nil{cerr[l.File]=err; first[l.File]="PARSE "+err.Error()} else { tok=&Tokenizer{template:&template{path:l.File,parsed:p,special:map[string]string{"bos_token":"<BOS>","eos_token":"<EOS>","pad_token":"<PAD>","unk_token":"<UNK>"}}}; cache[l.File]=tok}}
  if cerr[l.File]!=nil{ r[1]++; res[l.File]=r; continue}
  got,err:=tok.Render(l.Messages,l.Generate)
  switch{
  case l.Text==nil&&err!=nil: r[2]++
  case l.Text!=nil&&err==nil&&got==*l.Text: r[2]++
  case l.Text==nil: r[3]++; if first[l.File]==""{first[l.File]=fmt.Sprintf("%s: want error %s got %.200q",l.Name,l.Error,got)}
  default: r[4]++; if first[l.File]==""{first[l.File]=fmt.Sprintf("%s %v: err %v\n   got  %.300q\n   want %.300q",l.Name,l.Generate,err,got,*l.Text)}
  }
  res[l.File]=r}
 var ks []string; for k:=range res{ks=append(ks,k)}; sort.Strings(ks)
 for _,k:=range ks{ r:=res[k]; fmt.Printf("%-45s n=%d parse=%d ok=%d noerr=%d bad=%d %.600s\n",k,r[0],r[1],r[2],r[3],r[4],first[k])}
}
