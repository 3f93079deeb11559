"""The dictionary that the manifest is deflated with.

It holds what most manifests hold, so that a manifest only has to say where it differs. It belongs
to the format: a file cannot be read with another one. So it never changes; what new versions of the
program write into manifests is simply not found in it.
"""

MANIFEST_DICTIONARY = b"".join(
    (
        b'"weight_orig","in_proj_weight","out_proj.bias","attention","encoder","features.10.weight",',
        b'"classifier.0.weight","conv.weight","layer4.0.downsample.0.weight","bn3.weight",',
        b'"apple","bird","cat","0","1","2","3","4","5","6","7","8","9",',
        b'{"card":{"model":"ResNet20","classes":["airplane","automobile","bird","cat","deer","dog",',
        b'"frog","horse","ship","truck"],"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],',
        b'"mean":[0.4914,0.4822,0.4465],"std":[0.247,0.2435,0.2616],"side":224,"side":32,"recipes":[{',
        b'"kind":"import","file":"model.safetensors","model":"VGG16","dataset":"Digits","by_order":',
        b'false,"device":"cuda"},{"kind":"train","model":"LeNet5","dataset":"CIFAR10","prune":null,',
        b'"prune":{"method":"iterative-snip","method":"synflow","method":"snip","density":0.05,',
        b'"layerwise":false,"batch_size":null,"batches":1,"score_mode":"eval","augment":true,',
        b'"augment":false,"rounds":null},"epochs":70,"batch_size":128,"lr":0.1,"momentum":0.9,',
        b'"weight_decay":0.0005,"schedule":"onecycle","schedule":"cosine","schedule":"step",',
        b'"step":20,"gamma":0.1,"label_smoothing":0.0,"augment":null,"train_images":null,',
        b'"validation":0,"seed":0,"keep_every":1,"keep_mb":200,"precision":"auto","device":"auto"},{',
        b'"batchnorm":false,"recalibrate":true,"rest":"float32","seed":0,"device":"auto","kind":',
        b'"affine","bits":8,"per_channel":true,"symmetric":false,"range":"minmax","layers":{}},{',
        b'"batchnorm":false,"recalibrate":true,"rest":"float16","seed":0,"device":"auto","kind":',
        b'"kmeans","clusters":32,"init":"k-means++","init":"linear","keep_zeros":true,"layers":{},',
        b'"epochs":0,"lr":0.01,"batch_size":128,"train_images":null}]},"tensors":[{"name":',
        b'"conv1.weight","kind":"affine","shape":[16,3,3,3],"bits":4,"axis":0,"symmetric":true,',
        b'"unit":4},{"name":"features.0.weight","kind":"codebook","shape":[64,3,3,3],"clusters":32,',
        b'"masked":true,"mask_in_contexts":true,"unit":-77},{"name":"layer1.0.conv1.weight","kind":',
        b'"sparse","shape":[512,512,3,3],"dtype":"int64","stored":"float16","kept":1000,',
        b'"mask_in_contexts":true},{"name":"layer1.0.bn1.num_batches_tracked","kind":"raw","shape":',
        b'[],"dtype":"int64","stored":"int64"},{"name":"layer1.0.bn1.running_mean","kind":"raw",',
        b'"shape":[64]},{"name":"layer1.0.bn1.running_var","kind":"raw","shape":[64]},{"name":',
        b'"layer1.0.bn1.bias","kind":"raw","shape":[64]},{"name":"layer1.0.bn1.weight","kind":"raw",',
        b'"shape":[64]},{"name":"',
    )
)
